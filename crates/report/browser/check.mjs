// Opens the report of every fixture in a headless Chromium and uses it as a person would.
//
//   npm --prefix crates/report/browser install && npm --prefix crates/report/browser test
//
// CHROMIUM names the browser where it is not in PATH; PTELAB the program where it is not to be built.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import { HtmlValidate, looksRight, running } from './chromium.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

const out = mkdtempSync(join(tmpdir(), 'ptelab-report-'));
function report(source, options = []) {
  const path = join(out, source.split('/').pop() + '.html');
  const [program, ...args] = process.env.PTELAB ? [process.env.PTELAB]
    : ['cargo', 'run', '--quiet', '--package', 'ptelab-cli', '--'];
  execFileSync(program, [...args, 'report', resolve(root, source), '-o', path, ...options], { cwd: root });
  return path;
}

const wrong = [];
// A page whose errors and requests are noted.
async function open(path, hash = '') {
  const page = await running.newPage({ viewport: { width: 1400, height: 1000 } });
  page.on('console', (message) => { if (message.type() === 'error') wrong.push(`${path}: ${message.text()}`); });
  page.on('pageerror', (error) => wrong.push(`${path}: ${error.message}`));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) wrong.push(`${path}: asks for ${request.url()}`);
  });
  await page.goto(`file://${path}${hash}`);
  return page;
}
const call = (page) => page.locator('#call').textContent();

async function opens(source) {
  const path = report(source);
  assert.ok(statSync(path).size < 2 << 20, `${source}: the page is under 2 MB`);
  const page = await open(path);
  await page.locator('.map').first().waitFor();
  assert.match(await call(page), /^\d+\. /);
  const before = await call(page);
  await page.keyboard.press('Home');
  await page.keyboard.press('End');
  assert.notEqual(await call(page), '', before);
  await page.locator('#table-details summary').click();
  await page.locator('#tables table').first().waitFor({ timeout: 5000 });
  await page.close();
}

const twoMegabytes = () => report('fixtures/scenarios/t2-two-megabytes.scn', ['--arch', 'arm64,x86_64', '--kernel', '6.16,6.17']);

async function everyPartWorks() {
  const path = twoMegabytes();
  let page = await open(path);
  assert.match(await call(page), /^5\. mprotect/, 'it opens where machines differ most');
  await page.locator('#number').fill('4');
  await page.keyboard.press('Enter');
  assert.match(await call(page), /^4\. mprotect/);
  await page.locator('#number').fill('9');
  await page.keyboard.press('Enter');
  const complaint = await page.locator('#number').evaluate((field) => field.validationMessage);
  assert.deepEqual([complaint, (await call(page)).slice(0, 2)], ['A call, from 1 to 8', '4.'], 'a call that is none is refused');
  await page.locator('#number').fill('4');
  await page.keyboard.press('Enter');
  const sums = await page.locator('.map .sum').allTextContents();
  assert.match(sums[0], /512 entries written one by one · 32 blocks unfolded · 32 blocks folded/);
  assert.match(sums[1], /^32 batches, 512 entries in them.* instructions predicted$/);
  const costs = page.locator('#costs table').first();
  assert.match(await costs.locator('tbody tr').first().textContent(), /^predicted instructions/);
  assert.match(await costs.locator('thead').textContent(), /arm64 6\.17 \/ 6\.16/);
  assert.equal(await page.locator('#costs details[open]').count(), 0, 'what does not differ is folded away');
  const cells = page.locator('.map').first().locator('.cell');
  assert.equal(await cells.count(), 16, 'one row stands for those that are alike');
  await page.locator('.map button.alike').first().click();
  assert.deepEqual([await cells.count(), await page.locator('.map').first().locator('.cell.new').count()], [512, 512], 'they open');
  assert.equal(await page.locator('.map').nth(1).locator('path.batch').count(), 32, 'on every machine');

  await page.locator('#slider').focus();
  await page.keyboard.press('ArrowRight');
  assert.match(await call(page), /^5\. mprotect/, 'the slider moves');
  await page.locator('#first').click();
  assert.match(await call(page), /^1\. thp/);
  await page.locator('#filter').selectOption('mprotect');
  assert.match(await call(page), /^4\. mprotect/, 'a filter passes over what it leaves out');
  await page.locator('#last').click();
  assert.match(await call(page), /^7\. mprotect/);
  await page.locator('#expensive').click();
  assert.match(await call(page), /^5\. mprotect/, 'the most expensive');
  await page.locator('#expensive').click();
  assert.match(await call(page), /^4\. mprotect/, 'then the next');
  assert.equal(await page.locator('#legend').isVisible(), false);
  await page.locator('.legend').hover();
  assert.equal(await page.locator('#legend').isVisible(), true, 'the legend is one hover away');

  await cells.nth(9).hover();
  const decoded = await page.locator('#decode').textContent();
  for (const text of ['0x40009000', 'old ', 'new ', 'RDONLY 0→1', 'DBM 1→0', 'page 9 of a folio of 16 pages']) {
    assert.ok(decoded.includes(text), `hover shows ${text}: ${decoded}`);
  }
  await page.locator('.map .rows').first().focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  assert.match(page.url(), /#call=4&va=0x4001a000$/, 'keys go from entry to entry');
  assert.equal(await page.locator('.map').first().locator('.cell.here').count(), 1, 'rows that are alike open for it');
  await page.keyboard.press('Home');
  assert.match(page.url(), /va=0x40010000$/);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('#unfocus').count(), 0, 'Escape closes the entry from within the map');
  assert.match(await page.locator('.map .causes').first().textContent(), /^why: mprotect_entry .*mm\/mprotect\.c:change_pte_range, Linux 6\.16/);
  await page.pdf();
  assert.equal(await page.locator('details:is(.causes, .costs *):not([open])').count(), 0, 'on paper everything is open');
  await page.close();

  page = await open(path, '#call=9&va=here');
  assert.match(await page.locator('#notes').textContent(), /^There is no call 9: the last is 8\. here is no address\./);
  await page.close();

  page = await open(path, '#call=7&va=0x40004000');
  assert.match(await call(page), /^7\. mprotect\(0x40008000/);
  assert.ok((await page.locator('#decode').textContent()).includes('CONT 1→0'), 'a deep link opens its place');
  assert.match(await page.locator('#decode .why').first().textContent(), /^why: A block is taken apart/, 'a neighbour unfolds it');
  const drawn = await page.locator('.map:not(.same)').count();
  assert.equal(await page.locator('.cell.here').count(), drawn, 'the entry is marked on every machine');
  const header = await page.locator('header').boundingBox();
  await page.mouse.wheel(0, 600);
  assert.ok((await page.locator('#vmas').boundingBox()).y < header.y + header.height, 'the VMAs stay in view');
  await page.close();
}

// A log so large that its data are packed and its later calls summarised.
async function largeRunOpens() {
  const mapped = '1 mmap(NULL, 4194304, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000';
  const lines = [mapped];
  for (let i = 0; i < 20000; i += 1) {
    const address = '0x' + (0x7f0000000000 + ((i >> 1) % 64) * 65536).toString(16);
    lines.push(`1 mprotect(${address}, 65536, ${i % 2 ? 'PROT_READ|PROT_WRITE' : 'PROT_READ'}) = 0`);
  }
  const log = join(out, 'large.strace');
  writeFileSync(log, lines.join('\n') + '\n');
  const page = await open(report(log, ['--arch', 'arm64', '--kernel', '6.16,6.17']));
  await page.locator('.map').first().waitFor();
  assert.match(await page.locator('#notes').textContent(), /This run is large: up to call/);
  await page.locator('#last').click();
  assert.match(await call(page), /^20001\. mprotect/);
  assert.match(await page.locator('.map .sum').first().textContent(), /^summarised by region · .* instructions predicted$/);
  await page.locator('#address').fill('0x7f0000001000');
  await page.keyboard.press('Enter');
  assert.match(await page.locator('#decode').textContent(), /Single entries are known up to call/);
  await page.close();
}

// A call that changes a whole region outlines it once, not table by table.
async function changesAreOutlined() {
  const scenario = join(out, 'gibibyte.scn');
  writeFileSync(scenario, `mmap(0x40000000, 1G, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 1, 1G)
mprotect(0x40000000, 1G, PROT_READ)
`);
  const page = await open(report(scenario, ['--arch', 'arm64', '--kernel', '6.16']), '#call=3');
  const outlines = page.locator('.map .bar rect[fill=none]');
  await outlines.first().waitFor();
  assert.equal(await outlines.count(), 1, 'tables side by side have one outline');
  await page.close();
}

async function isValid() {
  const validator = new HtmlValidate({ extends: ['html-validate:standard'] });
  const path = report('fixtures/scenarios/guard.scn');
  const result = await validator.validateString(readFileSync(path, 'utf8'));
  const messages = result.results.flatMap((file) => file.messages.map((m) => `${m.line}: ${m.ruleId}: ${m.message}`));
  assert.deepEqual(messages, []);
}

const fixtures = (folder, extension) => readdirSync(join(root, 'fixtures', folder))
  .filter((name) => name.endsWith(extension)).map((name) => `fixtures/${folder}/${name}`);
let passed = 0;
await isValid();
await everyPartWorks();
await largeRunOpens();
await changesAreOutlined();
await looksRight(twoMegabytes());
await looksRight(report('fixtures/strace/node-jit.strace', ['--arch', 'arm64,x86_64', '--kernel', '6.16,6.17']));
passed += 6;
// The seed runs for long; its layouts are there in other files.
for (const source of [...fixtures('scenarios', '.scn').filter((name) => !name.endsWith('/seed.scn')), ...fixtures('strace', '.strace')]) {
  await opens(source);
  passed += 1;
}
await running.close();
assert.deepEqual(wrong, [], 'no error in the console, no request');
console.log(`${passed} passed, 0 failed`);
