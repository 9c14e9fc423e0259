// Drives one Chromium for all browser tests. It reads one JSON object a line, {op, context, page, ...},
// and answers each with one line, {value} or {error}. Stories are in Python: what is here are the hands
// and eyes of a person. Each context keeps what must never happen: an error in the console, a violation
// of the content security policy, a request to another host.
import fs from "node:fs";
import { createRequire } from "node:module";
import readline from "node:readline";
import { chromium } from "playwright-core";

const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [1280, 390];
const THEMES = ["light", "dark"];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  chromiumSandbox: process.getuid() !== 0,
});
const contexts = new Map();

// Contexts and what is watched in them

async function newContext({ context: name, options, hosts, timeout_ms }) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    reducedMotion: "reduce",
    ...options,
  });
  context.setDefaultTimeout(timeout_ms);
  const kept = { context, pages: new Map(), problems: [], requests: [], answers: [], hosts: new Set(hosts) };
  contexts.set(name, kept);
  context.on("request", (request) => {
    const url = new URL(request.url());
    kept.requests.push(`${request.method()} ${url.href}`);
    if (url.protocol.startsWith("http") && !kept.hosts.has(url.host)) kept.problems.push(`request to ${url.href}`);
  });
  context.on("response", (response) => {
    const request = response.request();
    kept.answers.push({
      method: request.method(),
      url: response.url(),
      status: response.status(),
      kind: request.resourceType(),
    });
  });
  context.on("console", (message) => {
    const { url } = message.location();
    if (message.type() === "error") kept.problems.push(`console: ${message.text()} (${url})`);
  });
  context.on("weberror", (error) => kept.problems.push(`script: ${error.error().message}`));
  return null;
}

async function closeContext({ context: name }) {
  const kept = contexts.get(name);
  contexts.delete(name);
  await kept.context.close();
  return { problems: kept.problems, requests: kept.requests };
}

async function newPage(kept, { page: name }) {
  const page = await kept.context.newPage();
  kept.pages.set(name, page);
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return null;
}

// What a person does

const field = (page, label) => page.getByLabel(label, { exact: true });
const control = (page, { role, name, within }) =>
  (within ? page.locator(within) : page).getByRole(role, { name, exact: true });

const ops = {
  open: async (page, { url }) => {
    const response = await page.goto(url);
    return { status: response.status(), headers: response.headers() };
  },
  fill: (page, { label, text }) => field(page, label).fill(text),
  fill_in: (page, { selector, text }) => page.locator(selector).fill(text),
  choose: (page, { label, value }) => field(page, label).selectOption(value),
  check: (page, { label }) => field(page, label).check(),
  check_in: (page, { selector }) => page.locator(selector).check(),
  press: (page, given) => control(page, given).click(),
  click: (page, { selector }) => page.locator(selector).first().click(),
  double: (page, given) => control(page, given).dblclick(),
  key: (page, { key }) => page.keyboard.press(key),
  type: (page, { text }) => page.keyboard.type(text),
  back: async (page) => (await page.goBack())?.status() ?? null,
  forward: async (page) => (await page.goForward())?.status() ?? null,
  reload: async (page) => (await page.reload()).status(),
  download: async (page, given) => {
    const [download] = await Promise.all([page.waitForEvent("download"), control(page, given).click()]);
    return { name: download.suggestedFilename(), text: fs.readFileSync(await download.path(), "utf8") };
  },

  // What a person sees
  url: async (page) => page.url(),
  title: (page) => page.title(),
  lands: async (page, { path }) => {
    await page.waitForURL((url) => new RegExp(`^${path}$`).test(url.pathname + url.search));
    await page.waitForLoadState();
    return page.url();
  },
  shows: async (page, { text, selector }) => {
    const part = page.locator(selector ?? "body");
    await part.filter({ hasText: text }).first().waitFor();
    return null;
  },
  hides: async (page, { selector }) => {
    await page.locator(selector).first().waitFor({ state: "hidden" });
    return null;
  },
  appears: async (page, { selector }) => {
    await page.locator(selector).first().waitFor({ state: "attached" });
    return null;
  },
  count: (page, { selector }) => page.locator(selector).count(),
  text: (page, { selector }) => page.locator(selector).first().innerText(),
  texts: (page, { selector }) => page.locator(selector).allInnerTexts(),
  value: (page, { selector }) => page.locator(selector).first().inputValue(),
  attribute: (page, { selector, name }) => page.locator(selector).first().getAttribute(name),
  html: (page) => page.content(),
  evaluate: (page, { script }) => page.evaluate(script),
  focused: (page) =>
    page.evaluate(() => {
      const at = document.activeElement;
      const name = at.getAttribute("aria-label") ?? at.labels?.[0]?.innerText ?? at.innerText ?? "";
      const style = getComputedStyle(at);
      const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
      return { tag: at.tagName.toLowerCase(), name: name.trim(), ringed, href: at.getAttribute("href"), type: at.type ?? null };
    }),
  // No request is under way: what is asked for later is there.
  settled: async (page) => {
    await page.waitForLoadState("networkidle");
    return null;
  },
  picture: async (page, { name, folder }) => {
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
    return null;
  },
  look,
};

// Every width and theme: what axe finds, what is wider than the window, and a picture of each.
async function look(page, { name, folder }) {
  const found = [];
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 800 });
      const at = `${name} ${width} ${theme}`;
      found.push(...(await examine(page)).map((what) => `${at}: ${what}`));
      if (folder) await page.screenshot({ path: `${folder}/${name}-${width}-${theme}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: WIDTHS[0], height: 800 });
  return found;
}

async function examine(page) {
  // By the debugger's own way in: the page's policy lets no script in.
  await page.evaluate(`window.axe || (() => {${axe}})()`);
  return page.evaluate(async () => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const found = [];
    if (scrollWidth > clientWidth) {
      const wide = [...document.querySelectorAll("body *")].filter((part) => part.getBoundingClientRect().right > clientWidth);
      const named = wide.filter((part) => !part.closest(".scroll") || part.matches(".scroll")).map((part) => part.outerHTML.slice(0, 80));
      found.push(`the page is ${scrollWidth} wide in a window of ${clientWidth}: ${named.slice(0, 3).join(" ")}`);
    }
    const { violations } = await window.axe.run(document, { rules: { "target-size": { enabled: true } } });
    for (const { id, help, nodes } of violations) {
      for (const node of nodes) found.push(`${id}: ${help}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\n", " ")}`);
    }
    return found;
  });
}

// One line in, one line out

async function answer(given) {
  if (given.op === "context") return newContext(given);
  if (given.op === "close") return closeContext(given);
  const kept = contexts.get(given.context);
  if (!kept) throw new Error(`there is no context ${given.context}`);
  switch (given.op) {
    case "page":
      return newPage(kept, given);
    case "cookies":
      return kept.context.cookies();
    case "add_cookies":
      return kept.context.addCookies(given.cookies);
    case "clear_cookies":
      return kept.context.clearCookies();
    case "answers":
      return kept.answers;
    case "offline":
      return kept.context.setOffline(given.is);
    default:
      return ops[given.op](kept.pages.get(given.page), given);
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  let reply;
  try {
    reply = { value: (await answer(JSON.parse(line))) ?? null };
  } catch (error) {
    reply = { error: String(error.stack ?? error) };
  }
  console.log(JSON.stringify(reply));
}
await browser.close();
