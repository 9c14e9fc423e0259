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

// The parts that follow a stream: each message is the part's newest state, so nothing is missed by a
// break. The browser opens a broken stream again by itself.
function follow(part) {
  const stream = new EventSource(part.dataset.follow);
  const away = document.getElementById("away");
  stream.addEventListener("state", (message) => {
    part.innerHTML = message.data;
    localise(part);
    if (away) away.hidden = true;
  });
  stream.addEventListener("done", () => stream.close());
  stream.addEventListener("signed_out", () => {
    stream.close();
    location.assign("/sign-in?was=ended");
  });
  stream.addEventListener("error", () => {
    if (away) away.hidden = false;
  });
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
