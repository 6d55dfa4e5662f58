// Opens the playground from disk in a headless Chromium that is offline, uses it as a person would, and says what it measures.
//
//   npm --prefix crates/report/browser install && node crates/playground/browser/check.mjs
//
// CHROMIUM names the browser where it is not in PATH; PTELAB_PLAYGROUND the page where it is not to be built.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import { looksRight, running } from '../../report/browser/chromium.mjs';
import { inFirefox } from '../../report/browser/firefox.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const path = resolve(process.env.PTELAB_PLAYGROUND || join(mkdtempSync(join(tmpdir(), 'ptelab-playground-')), 'playground.html'));
if (!process.env.PTELAB_PLAYGROUND) execFileSync('cargo', ['xtask', 'playground', '--output', path], { cwd: root, stdio: 'inherit' });
const size = statSync(path).size;
assert.ok(size <= 3 << 20, `the page has ${size} bytes, of at most 3M`);

const context = await running.newContext({ viewport: { width: 1280, height: 800 }, permissions: ['clipboard-read', 'clipboard-write'] });
await context.setOffline(true);
const wrong = [];
// A page whose errors, broken policies and requests are noted.
async function open(hash = '') {
  const page = await context.newPage();
  page.on('console', (message) => { if (message.type() === 'error') wrong.push(message.text()); });
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('request', (request) => { if (!/^(file|data|blob):/.test(request.url())) wrong.push(`asks for ${request.url()}`); });
  await page.goto(`file://${path}${hash}`);
  await page.locator('.map').first().waitFor();
  return page;
}
const status = (page) => page.locator('#status').textContent();
const says = (page, text) => page.locator('#status').filter({ hasText: text }).waitFor();
const write = (page, text) => page.locator('#text').fill(text);

const page = await open();
const first = await page.evaluate(() => { const [one] = performance.getEntriesByName('answer'); return one.startTime + one.duration; });
assert.match(await page.locator('#call').textContent(), /^\d+\. /, 'it opens with a run');
const foreign = await page.evaluate(async () => {
  const script = document.createElement('script');
  script.textContent = 'window.ran = true';
  document.head.append(script);
  return [window.ran, await fetch('data:,x').then(() => 'fetched', () => 'refused')];
});
assert.deepEqual(foreign, [undefined, 'refused'], 'the policy lets nothing run or load that is not in the page');
assert.ok(wrong.length >= 2, 'and says so');
wrong.length = 0;

async function examplesRun() {
  const names = await page.locator('#example option').evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
  assert.ok(names.length > 30, `${names.length} examples`);
  for (const name of names) {
    await page.evaluate(() => { document.getElementById('status').textContent = ''; });
    await page.locator('#example').selectOption(name);
    await says(page, 'run in');
    assert.equal(await page.locator('#mistakes li').count(), 0, name);
    assert.ok(await page.locator('#text').inputValue(), name);
  }
  return names.length;
}

async function mistakesHaveTheirPlace() {
  await write(page, 'mmap(0x40000000, 64K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nmprotect(0x40000000, 4K, PROT_RAED)\nmunmap(0)\n');
  await says(page, '2 mistakes');
  assert.equal(await page.locator('#shown .row').nth(1).locator('.mistake').textContent(), 'PROT_RAED');
  await page.locator('#mistakes button').first().click();
  const marked = await page.locator('#text').evaluate((field) => field.value.slice(field.selectionStart, field.selectionEnd));
  assert.equal(marked, 'PROT_RAED', 'a mistake leads to its place');
}

async function namesAreCompleted() {
  await write(page, '');
  await says(page, 'No calls yet');
  await page.locator('#text').focus();
  await page.keyboard.type('mprot');
  await page.locator('#words [role=option]').first().waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.type('0x40000000, 4K, PROT_WR');
  await page.locator('#words [role=option]').first().waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.type(')');
  assert.equal(await page.locator('#text').inputValue(), 'mprotect(0x40000000, 4K, PROT_WRITE)');
  await page.keyboard.press('Escape');
  await says(page, '1 call on');
  assert.match(await page.locator('#hint').textContent(), /^$|^mprotect\(/);
}

async function machinesAreChosen() {
  await page.locator('#example').selectOption('contpte-fold');
  await says(page, '4 machines');
  await page.locator('#ports summary').click();
  await page.locator('#ports input[value=riscv64]').check();
  await says(page, '6 machines');
  assert.equal(await page.locator('.map').count(), 6);
  await page.locator('#ports input[value=riscv64]').uncheck();
  await says(page, '4 machines');
}

async function entriesAreExplained() {
  await page.locator('#number').fill('5');
  await page.keyboard.press('Enter');
  await page.locator('.map .cell').nth(3).click();
  await page.locator('#explained').filter({ hasText: 'call 5, line' }).waitFor();
  assert.match(await page.locator('#explain-heading').textContent(), /0x40003000/);
  const [panel, words] = await Promise.all(['#decode', '#decode .words'].map((part) => page.locator(part).boundingBox()));
  assert.ok(panel.height > 100 && words.height > 100, 'the entry stands in its panel');
  assert.equal(await page.locator('#shown .row.here').count(), 1, 'the line of the call is marked');
}

async function linksHoldEverything() {
  await page.waitForFunction(() => location.hash.startsWith('#s='));
  await page.waitForTimeout(500);
  const other = await open(new URL(page.url()).hash);
  await says(other, '4 machines');
  assert.equal(await other.locator('#text').inputValue(), await page.locator('#text').inputValue());
  assert.match(await other.locator('#call').textContent(), /^5\. mprotect/, 'the call too');
  assert.match(await other.locator('#decode h2').textContent(), /0x40003000/, 'and the entry');
  await other.close();
  const damaged = await open('#s=AAAA');
  await says(damaged, '4 machines');
  await damaged.close();
}

async function mailsAreWritten() {
  await page.locator('#copy-mail').click();
  await says(page, 'Text copied');
  const mail = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(mail, /mprotect\(0x40000000, 64K, PROT_READ\) = 0[^]*unfolds[^]*kernel 6\.16,/);
}

async function programsAreStopped() {
  await page.locator('#fuzz summary').click();
  const [bug] = await page.locator('#fuzz-on option').evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
  await page.locator('#fuzz-on').selectOption(bug);
  await page.locator('#fuzz-start').click();
  await page.locator('#fuzz-open').waitFor();
  await page.locator('#fuzz-open').click();
  assert.match(await page.locator('#text').inputValue(), /^# /, 'what was found is a scenario');
  await page.locator('#fuzz-on').selectOption('');
  await page.locator('#fuzz-start').click();
  await page.locator('#fuzz-status').filter({ hasText: 'nothing found' }).waitFor();
  await page.locator('#fuzz-stop').click();
  await page.locator('#fuzz-status').filter({ hasText: 'stopped' }).waitFor();
  assert.equal(await page.locator('#fuzz-start').isEnabled(), true);
}

// What an edit takes, from the key to the map: in every example, a space at its end.
async function edits() {
  await page.evaluate(() => performance.clearMeasures());
  const names = await page.locator('#example option').evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
  for (const name of names) {
    await page.locator('#example').selectOption(name);
    await says(page, 'run in');
    await page.evaluate(() => { performance.clearMeasures(); document.getElementById('status').textContent = ''; });
    await page.locator('#text').evaluate((field) => { field.value += ' '; field.dispatchEvent(new Event('input')); });
    await says(page, 'run in');
    took.push(await page.evaluate(() => performance.getEntriesByName('answer').pop().duration));
  }
}
const took = [];

// Every example runs in Firefox too, with nothing said in the console.
async function examplesRunInFirefox() {
  const { skipped, result, wrong: complaints } = await inFirefox(path, async (page) => {
    const names = await page.$$eval('#example option', (all) => all.map((one) => one.value).filter(Boolean));
    for (const name of names) {
      await page.$eval('#status', (element) => { element.textContent = ''; });
      await page.select('#example', name);
      await page.waitForFunction(() => document.getElementById('status').textContent.includes('run in'));
      assert.equal(await page.$$eval('#mistakes li', (all) => all.length), 0, name);
    }
    return `${names.length} examples in Firefox, too`;
  });
  assert.deepEqual(complaints || [], []);
  return skipped ? `not tried in Firefox: ${skipped}` : result;
}

const examples = await examplesRun();
await mistakesHaveTheirPlace();
await namesAreCompleted();
await machinesAreChosen();
await entriesAreExplained();
await linksHoldEverything();
await mailsAreWritten();
await programsAreStopped();
await edits();
await looksRight(path);
assert.deepEqual(wrong, [], `no error in the console, no request; ${await status(page)}`);
await running.close();
took.sort((a, b) => a - b);
console.log(`${examples} examples and 8 tests passed, 0 failed`);
console.log(await examplesRunInFirefox());
console.log(`page ${(size / 2 ** 20).toFixed(2)}M; first answer ${first.toFixed(0)} ms; edits, median ${took[took.length >> 1].toFixed(0)} ms, slowest ${took.at(-1).toFixed(0)} ms`);
