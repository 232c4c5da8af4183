// Moves and zooms a picture of Graphviz in a browser, by its viewBox. Drag or the arrow keys move,
// the wheel or + and - zoom, 0 or a double click shows everything again.
;(() => {
  const svg = document.documentElement
  const box = svg.viewBox.baseVal
  const whole = {x: box.x, y: box.y, width: box.width, height: box.height}
  // As it was drawn it is too small to read or too large to see: it shall fill the window.
  svg.setAttribute('width', '100%')
  svg.setAttribute('height', '100%')
  svg.style.cursor = 'grab'
  svg.style.touchAction = 'none'
  svg.style.userSelect = 'none'

  // User units per pixel, and what of the window the picture does not fill.
  function scale() {
    return 1 / svg.getScreenCTM().a
  }
  function userPoint(event) {
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse())
  }
  function show(view) {
    svg.setAttribute('viewBox', `${view.x} ${view.y} ${view.width} ${view.height}`)
  }
  function zoom(factor, at) {
    const width = box.width * factor
    if (width > whole.width * 8 || width < whole.width / 4096) return
    show({
      x: at.x + (box.x - at.x) * factor,
      y: at.y + (box.y - at.y) * factor,
      width,
      height: box.height * factor,
    })
  }
  function move(dx, dy) {
    show({x: box.x + dx, y: box.y + dy, width: box.width, height: box.height})
  }
  function middle() {
    return {x: box.x + box.width / 2, y: box.y + box.height / 2}
  }

  let drag = null // where the pointer was last
  let moved = false
  svg.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return
    drag = {x: event.clientX, y: event.clientY}
    moved = false
  })
  svg.addEventListener('pointermove', (event) => {
    if (!drag) return
    const dx = event.clientX - drag.x
    const dy = event.clientY - drag.y
    if (!moved && Math.abs(dx) + Math.abs(dy) < 4) return // a click that trembles
    if (!moved) svg.setPointerCapture(event.pointerId)
    moved = true
    svg.style.cursor = 'grabbing'
    move(-dx * scale(), -dy * scale())
    drag = {x: event.clientX, y: event.clientY}
  })
  for (const end of ['pointerup', 'pointercancel'])
    svg.addEventListener(end, () => {
      drag = null
      svg.style.cursor = 'grab'
    })
  svg.addEventListener('dblclick', () => show(whole))
  svg.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault()
      const lines = event.deltaMode ? event.deltaY * 16 : event.deltaY
      zoom(Math.exp(Math.max(-200, Math.min(200, lines)) / 400), userPoint(event))
    },
    {passive: false},
  )
  const keys = {
    '+': () => zoom(1 / 1.25, middle()),
    '=': () => zoom(1 / 1.25, middle()),
    '-': () => zoom(1.25, middle()),
    0: () => show(whole),
    Escape: () => show(whole),
    ArrowLeft: () => move(-box.width / 8, 0),
    ArrowRight: () => move(box.width / 8, 0),
    ArrowUp: () => move(0, -box.height / 8),
    ArrowDown: () => move(0, box.height / 8),
  }
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return
    event.preventDefault()
    keys[event.key]()
  })
})()
