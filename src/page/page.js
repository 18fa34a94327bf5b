// Takes newer sections in as the server sends them, and says loudly when it does not. Without it the page is as whole, and as old as it says.
"use strict";
(() => {
  const live = document.getElementById("live");
  const patience = 6000;
  let heard = 0;
  let since = null;

  const clock = (date) => date.toISOString().slice(11, 19) + " UTC";

  function say(yes, words) {
    live.dataset.live = yes ? "yes" : "no";
    live.classList.toggle("lost", !yes);
    document.body.classList.toggle("stale", !yes);
    if (live.textContent !== words) live.textContent = words;
  }

  function lost() {
    since ??= new Date(heard || Date.now());
    say(false, `Connection lost since ${clock(since)}: what is shown is as old as that.`);
  }

  function alive(made) {
    heard = Date.now();
    since = null;
    say(true, `Live, as of ${made}`);
  }

  // What somebody has opened, typed and stands on outlives what is put in its place.
  function swap(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const next = holder.content.firstElementChild;
    const old = next && document.getElementById(next.id);
    if (!old) return;
    for (const details of next.querySelectorAll("details[id]")) {
      const before = old.querySelector(`#${CSS.escape(details.id)}`);
      if (before) details.open = before.open;
    }
    for (const field of next.querySelectorAll("input[type=text][id]")) {
      const before = old.querySelector(`#${CSS.escape(field.id)}`);
      if (before) field.value = before.value;
    }
    const scrolled = [...old.querySelectorAll(".wide")].map((element) => element.scrollLeft);
    const here = path(old, document.activeElement);
    old.replaceWith(next);
    next.querySelectorAll(".wide").forEach((element, index) => (element.scrollLeft = scrolled[index] || 0));
    if (here) follow(next, here)?.focus({ preventScroll: true });
  }

  // Which link, button or field of a section it is: by its id, or by what it is and says.
  function mark(element) {
    return [element.id, element.tagName, element.getAttribute("href"), element.getAttribute("name"), element.getAttribute("aria-label")].join(" ");
  }

  function path(section, element) {
    return element && element !== section && section.contains(element) ? mark(element) : null;
  }

  function follow(section, wanted) {
    const all = section.querySelectorAll("a, button, input, summary, [tabindex]");
    return [...all].find((element) => mark(element) === wanted);
  }

  function listen() {
    const source = new EventSource(live.dataset.events);
    source.addEventListener("section", (event) => swap(event.data));
    source.addEventListener("beat", (event) => alive(event.data));
    source.addEventListener("again", () => {
      source.close();
      listen();
    });
    source.addEventListener("error", () => {
      lost();
      // A browser that was refused does not try again by itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
    });
  }

  setInterval(() => { if (heard && Date.now() - heard > patience) lost(); }, 1000);
  if (live.dataset.events) listen();
})();
