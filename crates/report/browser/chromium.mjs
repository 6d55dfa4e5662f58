// The browser that tests drive, and what looks at a page in it. Where that is missing, a test ends here with a message.
//
// CHROMIUM names the browser where it is not in PATH.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import assert from 'node:assert/strict';

// The first program of these names in PATH.
export function found(names) {
  const folders = (process.env.PATH || '').split(delimiter);
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
}
const executablePath = process.env.CHROMIUM || found(['chromium', 'chromium-browser', 'google-chrome']);
if (!executablePath) {
  console.log('skipped: there is no Chromium in PATH; CHROMIUM can name one');
  process.exit(0);
}
let chromium, axe;
export let HtmlValidate;
try {
  ({ chromium } = await import('playwright-core'));
  ({ HtmlValidate } = await import('html-validate'));
  axe = (await import('axe-core')).default.source;
} catch {
  console.log('skipped: playwright-core, html-validate and axe-core are not installed; run npm install in crates/report/browser');
  process.exit(0);
}

export const running = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

// Every size and both colour schemes: nothing for axe to find, no label too small, nothing off the page.
export async function looksRight(path) {
  for (const [width, height] of [[1600, 1000], [1280, 800], [390, 844]]) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await running.newPage({ viewport: { width, height }, colorScheme });
      await page.goto(`file://${path}`);
      await page.locator('.map').first().waitFor();
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
      assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes[0].target}`), [], `${path} at ${width}, ${colorScheme}`);
      const [least, wide] = await page.evaluate(() => {
        const shown = [...document.querySelectorAll('svg text')].filter((text) => text.getBoundingClientRect().width);
        const sizes = shown.map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a);
        return [Math.min(...sizes), document.documentElement.scrollWidth - window.innerWidth];
      });
      assert.ok(least >= 11 && wide <= 0, `${path} at ${width}: labels of ${least} px, ${wide} px too wide`);
      await page.close();
    }
  }
}
