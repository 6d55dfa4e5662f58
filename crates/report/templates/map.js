
// The map: entries as cells, and what the call did to them.

// The parts of an address space that are drawn: VMAs entry by entry, or the neighbourhood of the focus.
function layout(course, at) {
  const vmas = shownVmas(course);
  const pages = vmas.reduce((sum, vma) => sum + vma.end - vma.start, 0);
  if (isSummed(course)) return { full: [], regions: changedTables(course) };
  if (pages <= MAX_CELLS) return { full: vmas.map((vma) => [vma.start, vma.end, vma]), regions: [] };
  const focusPage = at === null ? null : Math.floor(at / 2 ** course.machine.page_shift);
  const vma = vmas.find((vma) => focusPage !== null && vma.start <= focusPage && focusPage < vma.end);
  if (!vma) return { full: [], regions: vmas };
  if (vma.end - vma.start <= WINDOW) return { full: [[vma.start, vma.end, vma]], regions: vmas };
  let start = Math.max(vma.start, Math.floor(focusPage / 512) * 512 - (WINDOW - 512) / 2);
  start = Math.max(vma.start, Math.min(start, vma.end - WINDOW));
  return { full: [[start, Math.min(vma.end, start + WINDOW), vma]], regions: vmas };
}
// Where the call changed entries, from page to page.
function changedPlaces(course) {
  return course.machine.steps[call - 1].c.filter(([of]) => of === space).map(([, start, flat]) => {
    let end = start;
    for (const [n, word] of course.pieces(flat, call - 1)) end += n * course.entryPages(word);
    return [start, end];
  });
}
// Where steps have no details, a table's entries are known by kind, not by place: what the call changed is shown by table.
const isSummed = (course) => call > course.machine.detailed;
function changedTables(course) {
  const vmas = course.vmas.get(space) || [];
  return changedPlaces(course).map(([start, end]) => {
    const within = vmas.filter((vma) => vma.start < end && vma.end > start).length;
    return { start, end, perms: 'one table of', flags: `with ${plural(within, 'VMA')} in it, entries by kind`, name: '' };
  });
}
// VMAs that have entries, or that the call changed, or where somebody looks; of many, those that the call changed. All, where that
// is asked for.
let showsAll = false;
function shownVmas(course) {
  const vmas = course.vmas.get(space) || [], runs = course.runs.get(space) || [], size = 2 ** course.machine.page_shift;
  if (showsAll) return vmas;
  const changed = changedVmas(course);
  const isLookedAt = (vma) => pinned && focus !== null && focus >= vma.start * size && focus < vma.end * size;
  if (isSummed(course)) return vmas.filter((vma, i) => changed.has(i) || isLookedAt(vma));
  const isChanged = (vma, i) => changed.has(i) || course.touched(space, vma.start, vma.end) || isLookedAt(vma);
  const hasEntries = (vma) => { const run = runs[firstEndingAfter(runs, vma.start)]; return run && run.page < vma.end; };
  const shown = vmas.filter((vma, i) => hasEntries(vma) || isChanged(vma, i));
  const few = shown.length > MANY_VMAS ? vmas.filter(isChanged) : [];
  return few.length ? few : shown;
}
function changedVmas(course) {
  const changed = new Set();
  for (const [of, at, , added] of course.machine.steps[call - 1].v) {
    if (of === space) added.forEach((_, i) => changed.add(at + i));
  }
  return changed;
}
function changedPlace() {
  for (const course of courses) {
    const change = course.machine.steps[call - 1].c.find(([of]) => of === space);
    if (change) return change[1] * 2 ** course.machine.page_shift;
  }
  return null;
}

const CELL = 14, LEFT = 96, GAP = 3, ROW = 45, TOP = 20;
const MANY_VMAS = 8;         // VMAs that are shown though the call did nothing in them
const MIN_ALIKE = 3;         // rows that are alike, from which on one stands for all
let columns = 32;            // cells in a row: as many as there is room for at full size
const xOf = (column) => LEFT + column * CELL + Math.floor(column / 16) * GAP;

function marksOf(svg, machine, entry, x, y, width) {
  const attrs = machine.words[entry.word][2];
  const has = (name) => !(attrs & SOFT) && attrs & ATTR[name];
  if (has('DIRTY')) svg.append(drawn('circle', { class: 'mark', cx: x + 3.6, cy: y + 11, r: 2 }));
  if (has('YOUNG')) svg.append(drawn('rect', { class: 'mark', x: x + 8.6, y: y + 9.2, width: 3.4, height: 3.4 }));
  if (has('SOFT_DIRTY')) svg.append(drawn('path', { class: 'stroke', d: `M${x + 2} ${y + 14.2}h${width - 4}` }));
  if (has('SPECIAL')) svg.append(drawn('path', { class: 'stroke', d: `M${x + 2} ${y + 14}L${x + width - 2} ${y + 2}` }));
  if (has('UFFD')) svg.append(drawn('path', { class: 'stroke', d: `M${x + 6} ${y + 2}v3h3v-3` }));
  if (entry.exclusive) {
    svg.append(drawn('path', { class: 'mark', d: `M${x + 1} ${y + 1}h5.2l-5.2 5.2z` }));
  } else if (entry.folio && !has('SPECIAL')) {
    svg.append(drawn('path', { class: 'stroke', d: `M${x + 2} ${y + 3.5}h4` }));
  }
}

// The entries from start to end of one VMA: rows of cells, where one may stand for those that are alike.
function drawRows(course, start, end) {
  const machine = course.machine;
  const box = element('div', { class: 'rows', role: 'application', tabindex: '0', 'data-start': start, 'data-end': end,
    'aria-label': `Entries ${addressText(machine, start)} to ${addressText(machine, end)}, ${machine.arch} ${machine.kernel}` });
  const scene = { course, machine, runs: course.runs.get(space) || [], happened: happeningsIn(machine, machine.steps[call - 1], start, end) };
  const rows = [];
  for (let from = start; from < end; from = rows[rows.length - 1].to) {
    const to = Math.min(end, from - from % columns + columns);
    rows.push({ from, to, signature: signature(scene, from, to) });
  }
  for (let i = 0; i < rows.length;) {
    let j = i + 1;
    while (j < rows.length && rows[j].signature === rows[i].signature) j += 1;
    const group = rows.slice(i, j);
    if (rows[i].signature === 'empty') box.append(element('p', { class: 'alike' }, emptyText(machine, group)));
    else if (group.length < MIN_ALIKE || isOpened(group)) box.append(...group.map((row) => drawRowAlone(scene, row)));
    else box.append(drawRowAlone(scene, group[0]), alikeButton(machine, group));
    i = j;
  }
  return box;
}
function emptyText(machine, group) {
  const pages = group[group.length - 1].to - group[0].from;
  return `${addressText(machine, group[0].from)}  ${plural(pages, 'empty entry', 'empty entries')}`;
}
function drawRowAlone(scene, { from, to }) {
  const svg = drawn('svg', { viewBox: `0 0 ${xOf(columns) + 2} ${ROW}`, 'aria-hidden': 'true' });
  drawRow(svg, scene, from, to, TOP);
  return svg;
}

// Rows that were opened, as ranges of bytes of a space; what is open on one machine is on all.
let opened = [];
function isOpened(group) {
  const size = 2 ** machines[0].page_shift, from = group[0].from, to = group[group.length - 1].to;
  const isWithin = pinned && focus !== null && focus >= group[0].to * size && focus < to * size;
  return isWithin || opened.some(([of, start, end]) => of === space && start < to && end > from);
}
function alikeButton(machine, group) {
  const [first, last] = [group[1].from, group[group.length - 1].to];
  const word = courses[machines.indexOf(machine)].find(space, group[0].from);
  const blocks = word && machine.cont > 1 && (machine.words[word.word][2] & ATTR.CONT) ? Math.floor((last - group[0].from) / machine.cont) : 0;
  const alike = blocks > 1 ? `${blocks} blocks alike` : `${group.length} rows alike`;
  const text = `${alike}: the same to ${addressText(machine, last)}`;
  const open = () => { opened.push([space, first, last]); drawMaps(); };
  return element('button', { type: 'button', class: 'alike', 'aria-expanded': 'false', onclick: open }, `⋮ ${text}`);
}

// What a row looks like, without its address: rows of one signature are alike.
function signature(scene, from, to) {
  const { course, runs, happened } = scene;
  const cells = [];
  let isEmpty = !course.touched(space, from, to);
  for (let page = from; page < to;) {
    const found = entryAt(runs, page), before = course.before(space, page);
    const stop = Math.min(to, found ? found.page + found.pages : page + 1);
    if (found) isEmpty = false;
    const was = before.changed ? `<${before.entry ? before.entry.word : ''}` : '';
    cells.push(found ? `${found.word},${found.folio},${found.offset === 0},${found.offset + 1 === found.folio},${!!found.exclusive},${found.page === page}${was}` : was);
    page = stop;
  }
  const focusPage = focus === null || !pinned ? -1 : Math.floor(focus / 2 ** course.machine.page_shift);
  if (isEmpty && !(from <= focusPage && focusPage < to)) return 'empty';
  const clip = (list, open) => list.filter(([a, b]) => a < to && b > from)
    .map(([a, b]) => `${Math.max(a - from, -open)}-${Math.min(b - from, to - from + open)}`).join();
  const at = (list) => list.filter((page) => page < to && page + course.machine.cont > from).map((page) => page - from).join();
  const { batch, write, fold, unfold, flush } = happened;
  return [to - from, cells.join(' '), clip(batch, 1), clip(write, 1), at(fold), at(unfold), clip(flush, 0)].join('|');
}

function drawRow(svg, { course, machine, runs, happened }, from, to, y) {
  svg.append(drawn('text', { class: 'addr', x: 0, y: y + 11 }, addressText(machine, from)));
  for (let page = from; page < to;) {
    const found = entryAt(runs, page);
    const stop = Math.min(to, found ? found.page + found.pages : page + 1);
    const x = xOf(page % columns), width = xOf((stop - 1) % columns) + CELL - x;
    const entry = found || { word: 0, folio: 0 };
    const before = course.before(space, page);
    const cell = drawn('rect', { class: 'cell' + (before.changed ? ' new' : ''), x: x + .8, y: y + .8, width: width - 1.6,
      height: 14.4, rx: 1, fill: colourOf[keyOf(machine, entry)] });
    cell.dataset.page = page;
    svg.append(cell);
    if (found && (found.each === 1 || page === found.page)) marksOf(svg, machine, found, x, y, width);
    if (found && found.each > 1 && page === Math.max(found.page, from)) {
      svg.append(drawn('text', { class: 'lane', x: x + 20, y: y + 11, fill: '#111' },
        page === found.page ? `PMD leaf, ${sizeText(found.pages * 2 ** machine.page_shift)}` : 'same leaf'));
    }
    page = stop;
  }
  drawGroups(svg, machine, runs, from, to, y);
  drawHappenings(svg, machine, happened, from, to, y);
}
// Contiguous blocks as frames, folios as lines under their pages.
function drawGroups(svg, machine, runs, from, to, y) {
  for (let page = from; page < to;) {
    const entry = entryAt(runs, page);
    if (!entry || entry.each > 1) { page = entry ? entry.page + entry.pages : page + 1; continue; }
    let stop = page + 1, last = entry;
    while (stop < to) {
      const next = entryAt(runs, stop);
      if (!next || next.each > 1 || next.folio !== entry.folio || next.offset !== last.offset + 1) break;
      last = next;
      stop += 1;
    }
    if (entry.folio > 1) {
      const x = xOf(page % columns), right = xOf((stop - 1) % columns) + CELL;
      const left = x + (entry.offset === 0 ? 2 : 0), end = right - (last.offset + 1 === entry.folio ? 2 : 0);
      svg.append(drawn('path', { class: 'folio', d: `M${left} ${y + 17.5}H${end}` }));
    }
    page = stop;
  }
  if (machine.cont === 1) return;
  for (let page = Math.floor(from / machine.cont) * machine.cont; page < to; page += machine.cont) {
    const entry = entryAt(runs, Math.max(page, from));
    if (!entry || !(machine.words[entry.word][2] & ATTR.CONT) || machine.words[entry.word][2] & SOFT) continue;
    const start = Math.max(page, from), end = Math.min(page + machine.cont, to);
    const x = xOf(start % columns) - (page < from ? CELL : 0), right = xOf((end - 1) % columns) + CELL * (page + machine.cont > to ? 2 : 1);
    svg.append(drawn('rect', { class: 'block', x: x - .6, y: y - .8, width: right - x + 1.2, height: 17.4, rx: 3 }));
  }
}
function happeningsIn(machine, step, start, end) {
  const found = { batch: [], write: [], fold: [], unfold: [], flush: [], all: false };
  for (const [kind, page, n] of step.h) {
    if (kind === KIND.flushAll) found.all = true;
    const length = kind === KIND.fold || kind === KIND.unfold ? machine.cont : n;
    if (page >= end || page + length <= start) continue;
    if (kind === KIND.batch) found.batch.push([page, page + n]);
    if (kind === KIND.write) found.write.push([page, page + n]);
    if (kind === KIND.singles) {
      for (let at = Math.max(page, start); at < Math.min(page + n, end); at += 1) found.write.push([at, at + 1]);
    }
    if (kind === KIND.fold) found.fold.push(page);
    if (kind === KIND.unfold) found.unfold.push(page);
    if (kind === KIND.flush) found.flush.push([page, page + n]);
  }
  return found;
}
function bracket(svg, kind, a, b, from, to, y) {
  const left = Math.max(a, from), right = Math.min(b, to);
  const x = xOf(left % columns) + 1.5, end = xOf((right - 1) % columns) + CELL - 1.5;
  const open = a >= from ? `M${x} ${y - 2}v-3.5` : `M${x} ${y - 5.5}`;
  svg.append(drawn('path', { class: kind, d: `${open}H${end}${b <= to ? 'v3.5' : ''}` }));
  return [x, end];
}
function drawHappenings(svg, machine, happened, from, to, y) {
  const inRow = (list) => list.filter(([a, b]) => a < to && b > from);
  for (const [a, b] of inRow(happened.batch)) {
    const [x, end] = bracket(svg, 'batch', a, b, from, to, y);
    if (end - x > 60 && a >= from) label(svg, 'b', x + 5, y - 8.5, b - a === 1 ? '1' : `batch of ${b - a}`);
  }
  let singles = 0;
  // A label where nothing else has one.
  const alone = !inRow(happened.batch).length && !inRow(happened.write).some(([a, b]) => b - a === 1) && !happened.unfold.length;
  for (const [a, b] of inRow(happened.write)) {
    if (b - a === 1) {
      const x = xOf(a % columns) + CELL / 2;
      svg.append(drawn('path', { class: 'write', d: `M${x} ${y - 1.5}v-3.5` }));
      singles += 1;
    } else {
      const [x, end] = bracket(svg, 'write', a, b, from, to, y);
      if (end - x > 60 && a >= from && alone) label(svg, 's', x + 5, y - 8.5, `${b - a} written`);
    }
  }
  const { cont } = machine;
  for (let block = Math.floor(from / cont) * cont; cont > 1 && block < to; block += cont) {
    const unfolds = happened.unfold.filter((page) => page === block).length;
    const folds = happened.fold.filter((page) => page === block).length;
    if (!unfolds && !folds) continue;
    const ones = happened.write.filter(([a, b]) => b - a === 1 && a >= block && a < block + cont).length;
    const parts = [];
    if (unfolds) parts.push(unfolds > 1 ? `unfold ×${unfolds}` : 'unfold');
    if (ones) parts.push(`${ones} × 1`);
    if (folds) parts.push(folds > 1 ? `fold ×${folds}` : 'fold');
    const batched = happened.batch.some(([a, b]) => a < block + cont && b > block);
    const text = parts.join(' → ');
    const x = batched ? xOf((Math.min(block + cont, to) - 1) % columns) + CELL - 2 - text.length * LETTER : xOf(Math.max(block, from) % columns) + 4;
    label(svg, 'f', x, y - 8.5, text);
  }
  if (!happened.unfold.length && !happened.fold.length && singles > 1 && !happened.batch.length) {
    label(svg, 's', xOf(from % columns) + 4, y - 8.5, `${singles} one by one`);
  }
  if (happened.all) {
    const x = xOf(from % columns), end = xOf((to - 1) % columns) + CELL;
    svg.append(drawn('path', { class: 'all', d: `M${x} ${y + 21}H${end}` }));
  }
  const counts = new Map();
  for (const [a, b] of inRow(happened.flush)) counts.set(`${a},${b}`, (counts.get(`${a},${b}`) || 0) + 1);
  for (const [range, times] of counts) {
    const [a, b] = range.split(',').map(Number);
    const x = xOf(Math.max(a, from) % columns), end = xOf((Math.min(b, to) - 1) % columns) + CELL;
    const start = x + (a >= from ? 1.5 : 0), stop = end - (b <= to ? 1.5 : 0);
    for (let i = 0; i < Math.min(times, 3); i += 1) {
      svg.append(drawn('rect', { class: 'flush', x: start, y: y + 19.5 + i * 1.6, width: Math.max(stop - start, 2), height: 1 }));
    }
    if (times === 1) svg.append(drawn('rect', { class: 'flush', x: start, y: y + 19.5, width: Math.max(stop - start, 2), height: 2.2 }));
  }
}
// Text from x on; where it would be cut at the row's end, it ends there.
const LETTER = 6.8;
function label(svg, kind, x, y, text) {
  const end = xOf(columns) - 2, fits = x + text.length * LETTER <= end;
  svg.append(drawn('text', { class: `lane ${kind}`, x: fits ? x : end, y, 'text-anchor': fits ? 'start' : 'end' }, text));
}

// Where the call changed a region's entries. Places less than a gap of pages apart are one: their outlines would hide the bar.
function changedIn(course, vma, gap) {
  const places = changedPlaces(course).filter(([start, end]) => end > vma.start && start < vma.end);
  const joined = [];
  for (const [from, to] of places.sort(([a], [b]) => a - b)) {
    const start = Math.max(from, vma.start), end = Math.min(to, vma.end);
    const last = joined[joined.length - 1];
    if (last && start <= last[1] + gap) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  return joined;
}

// A region as one bar, each run as wide as its share.
function drawRegion(course, vma) {
  const machine = course.machine, pages = vma.end - vma.start, width = 520;
  const svg = drawn('svg', { class: 'bar', viewBox: `0 0 ${width} 14`, preserveAspectRatio: 'none', role: 'img' });
  svg.append(drawn('rect', { x: 0, y: 1, width, height: 12, fill: colourOf.none }));
  const runs = course.runs.get(space) || [];
  const shares = new Map();
  let last = -1;
  for (let i = firstEndingAfter(runs, vma.start); i < runs.length && runs[i].page < vma.end; i += 1) {
    const run = part(runs[i], vma.start, vma.end), key = keyOf(machine, run);
    shares.set(key, (shares.get(key) || 0) + run.pages);
    const x = (run.page - vma.start) / pages * width, w = Math.max(run.pages / pages * width, .5);
    if (x + w <= last + .25) continue;
    last = x + w;
    svg.append(drawn('rect', { x, y: 1, width: w, height: 12, fill: colourOf[key] }));
  }
  for (const [start, end] of changedIn(course, vma, pages / width)) {
    const x = (start - vma.start) / pages * width, w = Math.max((end - start) / pages * width, 1);
    svg.append(drawn('rect', { x, y: .8, width: w, height: 12.4, fill: 'none', stroke: 'var(--changed)', 'stroke-width': 1.2 }));
  }
  const texts = [...shares].map(([key, n]) => `${n.toLocaleString('en')} ${key}`);
  svg.setAttribute('aria-label', `${plural(pages, 'page')}: ${texts.join(', ') || 'nothing mapped'}`);
  return svg;
}
