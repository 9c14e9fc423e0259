// What pages do where scripts run. Without it every page works; times are in UTC and nothing moves.
"use strict";

// Times in the reader's own zone; the exact instant stays on hover.
function localise(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  for (const time of root.querySelectorAll("time[data-local]")) {
    time.textContent = format.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }
}

// Puts a newer state of a part in its place, and keeps what the reader did there: the focus, what is
// unfolded, how far a table is scrolled.
function replace(part, text) {
  const focus = part.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
  const scrolled = [...part.querySelectorAll(".scroll[id]")].map((e) => [e.id, e.scrollLeft, e.scrollTop]);
  part.innerHTML = text;
  localise(part);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const [id, left, top] of scrolled) document.getElementById(id)?.scrollTo(left, top);
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
}

// Says the verdict to those who do not see it: when the state changes, else seldom.
let saidAt = 0;
let saidState = "";
function say() {
  const [said, verdict, live] = ["said", "verdict", "live"].map((id) => document.getElementById(id));
  if (!said || !verdict || !live) return;
  const text = verdict.textContent.trim();
  const soon = live.dataset.state !== saidState || Date.now() - saidAt > 15000;
  if (text === said.textContent || !soon) return;
  [saidAt, saidState] = [Date.now(), live.dataset.state];
  said.textContent = text;
}

// The parts that follow a stream: each message is the part's newest state, so nothing is missed by a
// break. The browser opens a broken stream again by itself, unless it was answered with an error: then
// this does, with growing pauses.
function follow(part) {
  const away = document.getElementById("away");
  const show = (is) => { if (away) away.hidden = !is; };
  let pause = 1000;
  let last;
  let heard = Date.now();
  // The service says every ten seconds that it is there. A network that forgot the connection says nothing.
  const watch = setInterval(() => {
    if (Date.now() - heard < 30000) return;
    heard = Date.now();
    show(true);
    open();
  }, 5000);
  const open = () => {
    last?.close();
    const stream = new EventSource(part.dataset.follow);
    last = stream;
    stream.addEventListener("open", () => {
      pause = 1000;
      heard = Date.now();
    });
    stream.addEventListener("still", () => { heard = Date.now(); });
    stream.addEventListener("state", (message) => {
      heard = Date.now();
      replace(part, message.data);
      show(false);
      say();
    });
    stream.addEventListener("stale", () => show(true));
    stream.addEventListener("done", () => {
      stream.close();
      clearInterval(watch);
    });
    stream.addEventListener("gone", () => {
      stream.close();
      location.reload();
    });
    stream.addEventListener("signed_out", () => {
      stream.close();
      const back = encodeURIComponent(location.pathname + location.search);
      location.assign(`/sign-in?return_to=${back}&was=ended`);
    });
    stream.addEventListener("error", () => {
      show(true);
      if (stream !== last || stream.readyState !== EventSource.CLOSED) return;
      setTimeout(open, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, 10000);
    });
  };
  // A page that is kept for the way back holds no stream.
  addEventListener("pagehide", () => last.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
}

// The parts that take a while are asked for after the page. Until then, and if it fails, a link stands
// there that does the same.
async function load(part) {
  const link = part.innerHTML;
  const say = (text) => {
    const line = document.createElement("p");
    line.className = "faint";
    line.textContent = text;
    return line;
  };
  part.setAttribute("aria-busy", "true");
  part.replaceChildren(say(part.dataset.loading));
  try {
    const answer = await fetch(part.dataset.load, { redirect: "manual" });
    if (answer.type === "opaqueredirect") return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    part.innerHTML = await answer.text();
    localise(part);
  } catch {
    part.innerHTML = link;
    part.prepend(say("There was no answer."));
  }
  part.removeAttribute("aria-busy");
}

localise(document);
for (const part of document.querySelectorAll("[data-follow]")) follow(part);
for (const part of document.querySelectorAll("[data-load]")) load(part);

// "/" goes to the search box.
document.addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

// A form is sent once: the second press of an impatient finger does nothing.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
