// Light, dark, or whatever the system says until somebody says otherwise.

export function setUpTheme(button: HTMLButtonElement, onChange: () => void): void {
  const system = matchMedia("(prefers-color-scheme: dark)")
  let chosen = read()
  const apply = () => {
    const dark = chosen ? chosen === "dark" : system.matches
    document.documentElement.dataset["theme"] = dark ? "dark" : "light"
    button.innerHTML = dark ? SUN : MOON
    button.setAttribute("aria-label", dark ? "Switch to the light theme" : "Switch to the dark theme")
    onChange()
  }
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark"
    write(chosen)
    apply()
  })
  system.addEventListener("change", apply)
  apply()
}

/** Storage may be denied; then the choice lasts as long as the page. */
function read(): "dark" | "light" | undefined {
  try {
    const stored = localStorage.getItem("theme")
    return stored === "dark" || stored === "light" ? stored : undefined
  } catch {
    return undefined
  }
}

function write(theme: string): void {
  try {
    localStorage.setItem("theme", theme)
  } catch {
    // See above.
  }
}

const SUN = `<svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="3.6"/><path d="M10 1.5v2.2M10 16.3v2.2M1.5 10h2.2M16.3 10h2.2M4 4l1.6 1.6M14.4 14.4 16 16M16 4l-1.6 1.6M5.6 14.4 4 16"/></svg>`
const MOON = `<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M16.8 12.3A7.3 7.3 0 0 1 7.7 3.2a7.3 7.3 0 1 0 9.1 9.1Z"/></svg>`
