// A Firefox as it is installed, driven through WebDriver BiDi. FIREFOX names it where it is not in PATH.

import { found } from './chromium.mjs';

const executablePath = process.env.FIREFOX || found(['firefox', 'firefox-esr']);

// What `use` makes of a page in Firefox, and what the page complained of; or why that cannot be tried.
export async function inFirefox(path, use) {
  if (!executablePath) return { skipped: 'there is no Firefox in PATH; FIREFOX can name one' };
  let puppeteer;
  try {
    puppeteer = (await import('puppeteer-core')).default;
  } catch {
    return { skipped: 'puppeteer-core is not installed; run npm install in crates/report/browser' };
  }
  const firefox = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true });
  try {
    const page = await firefox.newPage();
    const wrong = [];
    page.on('console', (message) => { if (message.type() === 'error') wrong.push(message.text()); });
    page.on('pageerror', (error) => wrong.push(error.message));
    await page.goto(`file://${path}`);
    await page.waitForSelector('.map');
    return { result: await use(page), wrong };
  } finally {
    await firefox.close();
  }
}
