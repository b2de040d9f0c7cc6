// Elements without ceremony, lists that keep what did not change, and questions.

export type Child = Node | string | number | null | undefined | false

/** An element; properties that begin with `on` are listeners, the others attributes (`true` is an empty one). */
export function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, props: Record<string, unknown> = {}, ...children: Child[]): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener)
    else element.setAttribute(name, value === true ? "" : String(value))
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false).map(String_))
  return element
}

/** The element with this id, which the page has. */
export function $<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id)
  if (!element) throw new Error(`no #${id}`)
  return element as E
}

export interface Item {
  readonly key: string
  /** Everything the element shows; the same signature is the same element. */
  readonly signature: string
  make(): HTMLElement
}

/** Makes `parent` show the items. What did not change stays the same element, with focus and scroll position. */
export function reconcile(parent: HTMLElement, items: readonly Item[]): void {
  const had = new Map([...parent.children].map((child) => [(child as HTMLElement).dataset["key"], child as HTMLElement]))
  const focused = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>("[data-key]")?.dataset["key"]
  const hadFocus = focused !== undefined && parent.contains(document.activeElement)
  items.forEach((item, index) => {
    let element = had.get(item.key)
    had.delete(item.key)
    if (!element || element.dataset["signature"] !== item.signature) {
      const made = item.make()
      made.dataset["key"] = item.key
      made.dataset["signature"] = item.signature
      element?.replaceWith(made)
      element = made
      if (hadFocus && focused === item.key) (made.matches("button") ? made : made.querySelector<HTMLElement>("button"))?.focus()
    }
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null)
  })
  for (const element of had.values()) element.remove()
}

export interface Question {
  readonly title: string
  /** Named inputs inside are the answer. */
  readonly body?: readonly Child[]
  readonly confirm: string
  readonly danger?: boolean
  readonly wide?: boolean
  readonly id?: string
  /** Says what is wrong with an answer; the question stays open. */
  check?(answer: Record<string, string>): string | undefined
}

/** Asks in a dialog. Undefined if it is dismissed. */
export function ask({ title, body = [], confirm, danger, wide, id, check }: Question): Promise<Record<string, string> | undefined> {
  const problem = h("p", { class: "problem-line", role: "alert", hidden: true })
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "dialog-title" }, title),
    h("div", { class: "dialog-body" }, ...body),
    problem,
    h(
      "div",
      { class: "dialog-actions" },
      h("button", { type: "button", class: "button", value: "", onclick: () => dialog.close() }, "Cancel"),
      h("button", { type: "submit", class: `button primary${danger ? " danger" : ""}`, value: "ok" }, confirm),
    ),
  )
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : undefined, id }, form)
  return new Promise((resolve) => {
    let answer: Record<string, string> | undefined
    form.addEventListener("submit", (event) => {
      const given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value)]))
      const wrong = check?.(given)
      if (wrong !== undefined) {
        event.preventDefault()
        problem.textContent = wrong
        problem.hidden = false
      } else answer = given
    })
    dialog.addEventListener("close", () => {
      dialog.remove()
      resolve(answer)
    })
    document.body.append(dialog)
    dialog.showModal()
    dialog.querySelector<HTMLInputElement>("input[type=text]")?.select()
  })
}

/** A labelled text input for `ask`. */
export function field(name: string, label: string, value: string, attributes: Record<string, unknown> = {}): HTMLElement {
  return h("label", { class: "field" }, h("span", {}, label), h("input", { type: "text", name, value, required: true, autocomplete: "off", spellcheck: "false", ...attributes }))
}

/** A menu under a button: `fill` makes its content each time it opens. */
export function menu(button: HTMLButtonElement, name: string, fill: (close: () => void) => Child[]): void {
  const panel = h("div", { class: "menu", popover: "auto", id: `${button.id}-menu`, role: "group", "aria-label": name })
  button.after(panel)
  button.setAttribute("aria-expanded", "false")
  button.addEventListener("click", () => panel.togglePopover())
  panel.addEventListener("beforetoggle", (event) => {
    const opens = (event as ToggleEvent).newState === "open"
    button.setAttribute("aria-expanded", String(opens))
    if (opens) panel.replaceChildren(...fill(() => panel.hidePopover()).filter((child) => child instanceof Node))
  })
  panel.addEventListener("toggle", (event) => {
    if ((event as ToggleEvent).newState !== "open") return
    const under = button.getBoundingClientRect()
    const left = Math.min(under.left, innerWidth - panel.offsetWidth - 8)
    panel.style.left = `${Math.max(8, left)}px`
    panel.style.top = `${under.bottom + 6}px`
    panel.style.maxHeight = `${innerHeight - under.bottom - 20}px`
    panel.querySelector<HTMLElement>("button, a")?.focus()
  })
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return
    const stops = [...panel.querySelectorAll<HTMLElement>("button:not(:disabled), a")]
    const at = stops.indexOf(document.activeElement as HTMLElement)
    stops[(at + (event.key === "ArrowDown" ? 1 : -1) + stops.length) % stops.length]?.focus()
    event.preventDefault()
  })
}

export function icon(name: keyof typeof ICONS): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 20 20")
  svg.setAttribute("aria-hidden", "true")
  svg.setAttribute("class", "icon")
  svg.innerHTML = ICONS[name]
  return svg
}

/** Saves bytes where the visitor's browser puts downloads. */
export function download(content: BlobPart, name: string): void {
  const link = h("a", { href: URL.createObjectURL(new Blob([content], { type: "application/octet-stream" })), download: name })
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

const String_ = (child: Child) => (child instanceof Node ? child : String(child))

const ICONS = {
  markdown: `<path d="M4 4.5h12M4 8.2h12M4 11.8h8M4 15.5h5"/>`,
  json: `<path d="M7.5 3.5C5.5 3.5 5.8 5 5.8 7S5.4 10 3.8 10c1.6 0 2 1.2 2 3s-.3 3.5 1.7 3.500M12.5 3.500c2 0 1.7 1.5 1.7 3.500s.4 3 2 3c-1.6 0-2 1.2-2 3s.3 3.5-1.7 3.5"/>`,
  csv: `<rect x="3.5" y="4" width="13" height="12" rx="1.5"/><path d="M3.5 8h13M3.5 12h13M8.5 8v8"/>`,
  file: `<path d="M5.5 2.500h6l3.5 3.500v11.500h-9.500zM11.5 2.500v3.500h3.5"/>`,
  branch: `<circle cx="6" cy="4.5" r="1.8"/><circle cx="6" cy="15.5" r="1.8"/><circle cx="14" cy="7" r="1.8"/><path d="M6 6.300v7.400M14 8.800c0 3.2-4 3.2-7.2 5.2"/>`,
  plus: `<path d="M10 4.500v11M4.5 10h11"/>`,
  dots: `<circle cx="4.5" cy="10" r=".8"/><circle cx="10" cy="10" r=".8"/><circle cx="15.5" cy="10" r=".8"/>`,
  import: `<path d="M10 12.5v-9M6.5 7 10 3.5 13.5 7M4 12.5v3.5h12v-3.5"/>`,
  export: `<path d="M10 3.5v9M6.5 9 10 12.5 13.5 9M4 12.5v3.5h12v-3.5"/>`,
  down: `<path d="m6 8 4 4 4-4"/>`,
  back: `<path d="m12 5-5 5 5 5"/>`,
  next: `<path d="m8 5 5 5-5 5"/>`,
  clock: `<circle cx="10" cy="10" r="6.8"/><path d="M10 6v4.200l2.8 1.7"/>`,
  diff: `<path d="M10 3.500v7M6.5 7h7M6.5 15.500h7"/>`,
  people: `<circle cx="7.3" cy="7" r="2.6"/><path d="M2.5 16c.3-3 2.2-4.6 4.8-4.600S11.8 13 12.1 16M12.3 4.600a2.6 2.6 0 0 1 0 4.800M14 11.900c1.9.5 3.2 1.9 3.5 4.1"/>`,
  pen: `<path d="m4 16 .8-3.400L13 4.400l2.6 2.6-8.2 8.200zM11.5 6l2.6 2.6"/>`,
  flag: `<path d="M5.5 17.500v-14h9l-2 3.2 2 3.300h-9"/>`,
  check: `<path d="m4.5 10.5 3.5 3.5 7.5-8"/>`,
  trash: `<path d="M4 6h12M8 6V4h4v2M5.5 6l.7 10.500h7.600L14.5 6"/>`,
  merge: `<circle cx="6" cy="4.5" r="1.8"/><circle cx="14" cy="4.5" r="1.8"/><circle cx="10" cy="15.5" r="1.8"/><path d="M6 6.300c0 4 4 3.7 4 7.4 0-3.7 4-3.4 4-7.4"/>`,
} as const
