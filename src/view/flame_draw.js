// Of the live flame graph (flame_model.js): labels and frames on screen.

// ---- Labels -------------------------------------------------------------------------------------

const pen = html('canvas').getContext('2d')
const glyphs = new Map()
function widthOf(text) {
  let width = 0
  for (const glyph of text) {
    let w = glyphs.get(glyph)
    if (w === undefined) glyphs.set(glyph, (w = pen.measureText(glyph).width))
    width += w
  }
  return width
}

/** The name without what stands in angle brackets: 'map<int, A<B>>::at' is 'map<…>::at'. */
function withoutTemplates(name) {
  let out = '',
    depth = 0
  for (let i = 0; i < name.length; i++) {
    const c = name[i]
    const operator = /operator[<>=-]*$/.test(name.slice(Math.max(0, i - 11), i))
    if (c === '<' && !operator) {
      if (depth++ === 0) out += '<…'
    } else if (c === '>' && !operator && depth > 0) {
      if (--depth === 0) out += '>'
      continue
    }
    if (depth === 0) out += c
  }
  return depth === 0 ? out : name
}

/** Ever shorter ways to say a name, the full one first. */
function shorter(name) {
  const plain = withoutTemplates(name)
  const parts = plain.split(/::|(?<=\/)(?=[^/]*$)|(?=\+0x[0-9a-f]+$)/)
  return [
    name,
    plain,
    plain.includes('::') && parts.length > 2 ? '…' + parts.slice(-2).join('::') : plain,
    parts.at(-1),
  ]
}

const measured = new Map() // frame -> [[text, width], …]
function labelFor(node, room) {
  let candidates = measured.get(tree.frame[node])
  if (!candidates || isSmaller(node)) {
    const name = node === 0 ? `${names[0]} · ${amount(tree.total[0] - (tree.gone[0] ?? 0))}` : nameOf(node)
    candidates = shorter(name).map(text => [text, widthOf(text)])
    if (!isSmaller(node)) measured.set(tree.frame[node], candidates)
  }
  for (const [text, width] of candidates) if (width <= room) return text
  return cut(candidates.at(-1)[0], room)
}
function cut(text, room) {
  if (widthOf(text) <= room) return text
  let width = widthOf('…'),
    kept = ''
  for (const glyph of text) {
    width += widthOf(glyph)
    if (width > room) break
    kept += glyph
  }
  return kept.length > 1 ? kept + '…' : ''
}

// ---- Drawing ------------------------------------------------------------------------------------

const pool = [] // labelled frames that were made so far: {group, rect, text, …what they show}
const paths = new Map() // class -> path

const width = () => ui.frames.clientWidth || 1
const rows = () => tree.highest + tree.deepest + 1
const height = () => rows() * ROW + 8
const rowTop = level => (state.upright ? tree.deepest - level : tree.highest + level) * ROW + 4
const topOf = node => rowTop(levelOf(node))
const levelAt = y => {
  const row = Math.floor((y - 4) / ROW)
  return state.upright ? tree.deepest - row : row - tree.highest
}

const WHOLE = {from: 0, to: tree.total[0]}
/** What is in view of a node's half: zooming into callers leaves the callees whole. */
const viewOf = node =>
  tree.upperEnd && state.zoom && node && isUpper(node) !== isUpper(state.zoom) ? WHOLE : state.view

/** Calls back for each frame in the levels from top to bottom that is wide enough to be seen:
      (node, left, width, siblings) where siblings is true when it stands for its later ones too. */
function visit(top, bottom, each) {
  const {start, total, self, parent, end} = tree
  for (let node = 0; node < tree.count;) {
    const {from, to} = viewOf(node)
    const scale = width() / (to - from)
    const level = levelOf(node)
    const beyond = isUpper(node) ? level < top : node > 0 && level > bottom
    if (node && (start[node] >= to || start[node] + total[node] <= from || beyond)) {
      node = end[node]
      continue
    }
    if (node === 1 && tree.upperEnd) {
      node++
      continue
    }
    let left = (start[node] - from) * scale
    let wide = total[node] * scale
    const narrow = wide < NARROWEST && node !== 0
    if (narrow) {
      // and so are all that follow it
      const p = parent[node]
      wide = (start[p] + total[p] - self[p] - start[node]) * scale
    }
    const right = Math.min(left + wide, width())
    left = Math.max(left, 0)
    if (level >= top && level <= bottom && right - left > 0.3) each(node, left, right - left, narrow)
    node = narrow ? end[parent[node]] : node + 1
  }
}

function draw() {
  ui.frames.setAttribute('height', height())
  const y0 = ui.stage.scrollTop - ROW * 2
  const y1 = ui.stage.scrollTop + ui.stage.clientHeight + ROW * 2
  const top = levelAt(state.upright ? y1 : y0)
  const bottom = levelAt(state.upright ? y0 : y1)

  const narrow = new Map()
  let used = 0
  visit(top, bottom, (node, left, wide, several) => {
    const matched = state.matched !== null && (several ? anyMatch(node) : isMatch(node))
    if (wide >= LABELLED && !several) {
      drawWide(used++, node, left, wide, matched)
      return
    }
    const kind = (several ? 'smaller' : colorOf(node)) + (matched ? ' matched' : '')
    const gap = wide > 3 ? 1 : wide > 1 ? 0.3 : 0
    const piece = `M${left.toFixed(1)} ${topOf(node)}h${Math.max(wide - gap, 0.4).toFixed(1)}v${ROW - 1}H${left.toFixed(1)}z`
    narrow.set(kind, (narrow.get(kind) ?? '') + piece)
  })
  for (let i = used; i < pool.length && pool[i].shown; i++) {
    pool[i].group.style.display = 'none'
    pool[i].shown = false
  }
  for (const [kind, path] of paths) if (!narrow.has(kind)) path.setAttribute('d', '')
  for (const [kind, d] of narrow) {
    let path = paths.get(kind)
    if (!path) {
      path = svg('path', {class: 'frame ' + kind})
      paths.set(kind, path)
      ui.narrow.append(path)
    }
    path.setAttribute('d', d)
  }
  ui.frames.classList.toggle('searching', state.matched !== null)
  drawOutline(ui.hover, state.hover)
  // The zoomed frame shows itself by its width; keyboard users still need to see where they are.
  const shown = state.cursor !== state.zoom || ui.stage.matches(':focus-visible')
  drawOutline(ui.cursor, shown ? state.cursor : NOTHING)
}

function drawWide(index, node, left, wide, matched) {
  let slot = pool[index]
  if (!slot) {
    slot = {
      group: svg('g', {role: 'treeitem'}),
      rect: svg('rect', {rx: 2, height: ROW - 1}),
      text: svg('text', {class: 'label', x: 5, y: 12.5}),
      shown: true,
    }
    slot.group.append(slot.rect, slot.text)
    ui.wide.append(slot.group)
    pool.push(slot)
  }
  if (!slot.shown) {
    slot.group.style.display = ''
    slot.shown = true
  }
  const above =
    tree.depth[node] < tree.depth[state.zoom] ||
    (state.zoom > 0 && node > 0 && isUpper(node) !== isUpper(state.zoom))
  slot.group.setAttribute('transform', `translate(${left.toFixed(2)} ${topOf(node)})`)
  slot.rect.setAttribute('width', Math.max(wide - 1, 0.5).toFixed(2))
  const groupClass = (above ? 'above' : '') + (matched ? ' matched' : '')
  if (slot.groupClass !== groupClass)
    slot.group.setAttribute('class', (slot.groupClass = groupClass))
  const frameClass = `frame ${colorOf(node)}${matched ? ' matched' : ''}`
  if (slot.frameClass !== frameClass)
    slot.rect.setAttribute('class', (slot.frameClass = frameClass))
  const label = labelFor(node, wide - 10)
  if (slot.label !== label) slot.text.textContent = slot.label = label
  if (slot.node !== node) {
    slot.node = node
    slot.group.setAttribute('data-node', node)
    slot.group.setAttribute('aria-level', tree.depth[node] + 1)
    slot.group.setAttribute(
      'aria-label',
      `${nameOf(node)}, ${amount(tree.total[node])}, ${percent(tree.total[node], everything)}` +
        (data.diff ? `, ${changeOf(node)}` : ''),
    )
    slot.text.setAttribute('class', isSmaller(node) ? 'label smaller-label' : 'label')
  }
  const id = node === state.cursor ? 'cursor-frame' : ''
  if (slot.id !== id) {
    slot.id = id
    if (id) slot.group.setAttribute('id', id)
    else slot.group.removeAttribute('id')
  }
}

function drawOutline(rect, node) {
  const {from, to} = viewOf(Math.max(node, 0))
  const scale = width() / (to - from)
  const left = node < 0 ? 0 : Math.max((tree.start[node] - from) * scale, 0)
  const right =
    node < 0 ? 0 : Math.min((tree.start[node] + tree.total[node] - from) * scale, width())
  rect.style.display = right > left ? '' : 'none'
  if (!(right > left)) return
  rect.setAttribute('x', left + 0.5)
  rect.setAttribute('width', Math.max(right - left - 2, 2))
  rect.setAttribute('y', topOf(node) + 0.5)
  rect.setAttribute('height', ROW - 2)
}

/** The frame at a place in the stage; for a hatched box the first of those in it. */
function nodeAt(x, y) {
  const level = levelAt(y)
  if (level < -tree.highest || level > tree.deepest || x < 0 || x >= width()) return NOTHING
  let node = level < 0 ? 1 : 0
  const {from, to} = viewOf(level < 0 ? 1 : level > 0 ? tree.upperEnd || 1 : 0)
  const value = from + (x / width()) * (to - from)
  for (let depth = 0; depth < Math.abs(level); depth++) {
    let child = firstChild(node)
    while (child < tree.end[node] && tree.start[child] + tree.total[child] <= value)
      child = tree.end[child]
    if (child >= tree.end[node] || tree.start[child] > value) return NOTHING
    node = child
  }
  return node
}
