self.addEventListener("message", (event) => {
  if (event.data !== "throw") return
  event.stopImmediatePropagation()
  throw new Error("a mistake outside of every call")
})
