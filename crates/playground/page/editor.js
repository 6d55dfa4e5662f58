// The editor: a text field, and under it the same text in colours, with mistakes underlined and the call on screen marked.

let about = null;            // what there is to write and to choose from
let mistakes = [];           // of the text as it was last read
const TOKEN = /(#.*)|("(?:[^"\\\n]|\\.)*"?)|(\d[\w.]*)|([A-Za-z_]\w*)/g;

function tokens(line) {
  const found = [];
  for (const match of line.matchAll(TOKEN)) {
    const [text, comment, string, number, name] = match;
    let kind = comment !== undefined ? 'comment' : string !== undefined ? 'string' : number !== undefined ? 'number' : '';
    if (name !== undefined) kind = name === 'repeat' || name === 'pid' ? 'keyword' : callNamed(name) ? 'name' : 'flag';
    found.push([match.index, match.index + text.length, kind]);
  }
  return found;
}
const callNamed = (name) => about && about.calls.find((form) => form.name === name);

// The line in pieces, each with the classes of its token and of the mistakes that cover it.
function drawnLine(line, start, isHere) {
  const row = element('div', { class: isHere ? 'row here' : 'row' });
  const colours = tokens(line);
  const wrong = mistakes.filter(({ from, to }) => from <= start + line.length && to >= start)
    .map(({ from, to }) => [Math.max(from - start, 0), Math.max(Math.min(to - start, line.length), from - start + 1)]);
  const cuts = [...new Set([0, line.length, ...colours.flatMap(([a, b]) => [a, b]), ...wrong.flat()])].filter((at) => at <= line.length).sort((a, b) => a - b);
  for (let i = 0; i + 1 < cuts.length; i += 1) {
    const [a, b] = [cuts[i], cuts[i + 1]];
    const token = colours.find(([from, to]) => from <= a && b <= to);
    const classes = [token ? token[2] : '', wrong.some(([from, to]) => from <= a && b <= to) ? 'mistake' : ''].join(' ').trim();
    row.append(classes ? element('span', { class: classes }, line.slice(a, b)) : line.slice(a, b));
  }
  if (wrong.some(([from]) => from >= line.length)) row.append(element('span', { class: 'mistake' }, ' '));
  if (wrong.length) row.classList.add('wrong');
  return row;
}
let drawnRows = [];          // text, and whether it is marked, of each line on screen: only what changed is drawn anew
function drawEditor() {
  const here = data && !byId('report').classList.contains('stale') ? data.calls[call - 1][0] : 0;
  let start = 0;
  const lines = byId('text').value.split('\n'), box = byId('shown');
  lines.forEach((line, i) => {
    const key = JSON.stringify([line, here === i + 1, mistakes.filter(({ from, to }) => from <= start + line.length && to >= start).map(({ from, to }) => [from - start, to - start])]);
    if (drawnRows[i] !== key) {
      const row = drawnLine(line, start, here === i + 1);
      if (box.children[i]) box.children[i].replaceWith(row); else box.append(row);
      drawnRows[i] = key;
    }
    start += line.length + 1;
  });
  while (box.children.length > lines.length) box.lastChild.remove();
  drawnRows.length = lines.length;
}
function drawMistakes(omitted) {
  const items = mistakes.map((one) => {
    const text = [`line ${one.line}, column ${one.column}: ${one.message}`, one.expected && `expected ${one.expected}`, one.help].filter(Boolean);
    const go = () => { byId('text').focus(); byId('text').setSelectionRange(one.from, one.to); };
    return element('li', {}, element('button', { type: 'button', onclick: go }, text.join('; ')));
  });
  if (omitted) items.push(element('li', {}, `and ${omitted} more`));
  byId('mistakes').replaceChildren(...items);
}

// Where the caret is: the call, the number of the parameter, and the word before the caret.
function place() {
  const field = byId('text'), before = field.value.slice(0, field.selectionStart);
  const line = before.slice(before.lastIndexOf('\n') + 1);
  const code = line.replace(/"(?:[^"\\]|\\.)*"/g, (text) => '"'.padEnd(text.length, '_'));
  if (code.includes('#')) return null;
  const word = /("?\w*)$/.exec(line)[1];
  const opened = /(\w+)\(([^()]*)$/.exec(code);
  if (!opened) return { form: null, word: /^\s*(\[pid \d+\]\s*)?\w*$/.test(line) ? word : null };
  const flat = opened[2].replace(/\[[^\]]*\]?/g, '');
  return { form: callNamed(opened[1]), parameter: flat.split(',').length - 1, word };
}
function drawHint() {
  const at = place();
  if (!at || !at.form) { byId('hint').textContent = ''; return; }
  const parts = at.form.text.split(/(?=, |\[, )/);
  byId('hint').replaceChildren(`${at.form.name}(`, ...parts.map((part, i) => (i === at.parameter ? element('b', {}, part) : part)), ')');
}

let offered = [], chosenWord = 0;
function offer(asked) {
  const at = place();
  let words = [];
  if (at && at.word !== null && (asked || at.word.length > 1)) {
    const all = at.form ? at.form.words[at.parameter] || [] : about.calls.map((form) => form.name).concat('repeat');
    const lower = at.word.toLowerCase();
    const starts = all.filter((word) => word.toLowerCase().startsWith(lower));
    words = starts.length ? starts : all.filter((word) => lower && word.toLowerCase().includes(lower));
    if (words.length === 1 && words[0] === at.word) words = [];
  }
  offered = words.slice(0, 60);
  chosenWord = 0;
  drawOffered();
}
function drawOffered() {
  const box = byId('words'), field = byId('text');
  box.hidden = !offered.length;
  if (!offered.length) { field.removeAttribute('aria-activedescendant'); field.removeAttribute('aria-controls'); return; }
  box.replaceChildren(...offered.map((word, i) => element('li', {
    id: `word-${i}`, role: 'option', 'aria-selected': i === chosenWord, onpointerdown: (event) => { event.preventDefault(); chosenWord = i; complete(); },
  }, word)));
  field.setAttribute('aria-controls', 'words');
  field.setAttribute('aria-activedescendant', `word-${chosenWord}`);
  const { x, y } = caret();
  box.style.left = `${Math.max(Math.min(x, window.innerWidth - box.offsetWidth - 16), 0) + window.scrollX}px`;
  box.style.top = `${y + window.scrollY}px`;
  box.children[chosenWord].scrollIntoView({ block: 'nearest' });
}
// Below the caret, as the coloured text under the field has it.
function caret() {
  const field = byId('text'), before = field.value.slice(0, field.selectionStart).split('\n');
  const row = byId('shown').children[before.length - 1];
  let left = before[before.length - 1].length;
  const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT), range = document.createRange();
  range.selectNodeContents(row);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (left <= node.length) { range.setStart(node, left); range.setEnd(node, left); break; }
    left -= node.length;
  }
  const box = range.getClientRects()[0] || row.getBoundingClientRect();
  return { x: box.left, y: box.bottom };
}
function complete() {
  const field = byId('text'), at = place(), end = field.selectionStart;
  const word = offered[chosenWord], isCall = !at.form && word !== 'repeat';
  const follows = field.value[end] === '(' || !isCall ? '' : '(';
  field.setSelectionRange(end - at.word.length, end);
  // The one way that keeps the field's undo.
  if (!document.execCommand('insertText', false, word + follows)) {
    field.setRangeText(word + follows, field.selectionStart, end, 'end');
    field.dispatchEvent(new Event('input'));
  }
  offered = [];
  drawOffered();
  drawHint();
}
function editorKey(event) {
  if (event.key === ' ' && event.ctrlKey) { event.preventDefault(); offer(true); return; }
  if (!offered.length) return;
  const moves = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key in moves) {
    chosenWord = (chosenWord + moves[event.key] + offered.length) % offered.length;
    drawOffered();
  } else if (event.key === 'Enter' || event.key === 'Tab') {
    complete();
  } else if (event.key === 'Escape') {
    offered = [];
    drawOffered();
  } else {
    return;
  }
  event.preventDefault();
}
