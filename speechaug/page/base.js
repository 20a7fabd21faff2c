"use strict";
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  // light and dark: what the reader's system prefers, until the button says otherwise
  const kept = {
    get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* not for pages of this kind */ } },
  };
  if (kept.get()) root.dataset.theme = kept.get();
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  document.querySelector(".theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    kept.set(root.dataset.theme);
  });

  // one of several views: a row of buttons names the elements it shows
  for (const row of all(".choices")) {
    const buttons = all("button", row);
    const choose = (chosen) => buttons.forEach((button) => {
      const shown = document.getElementById(button.dataset.shows);
      button.setAttribute("aria-pressed", button === chosen);
      shown.hidden = button !== chosen;
      if (button === chosen) shown.dispatchEvent(new Event("shown"));
    });
    buttons.forEach((button) => button.addEventListener("click", () => choose(button)));
    choose(buttons[0]);
  }

  // sounds: one at a time
  addEventListener("play", (event) => all("audio").forEach((sound) => sound !== event.target && sound.pause()), true);
})();
