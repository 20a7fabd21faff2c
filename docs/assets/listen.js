"use strict";
// A picture of a sound is its button: a click or Enter plays it from the start, another stops it; one at a time.
(() => {
  const play = '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="go" d="M8 5v14l11-7z"/><path class="halt" d="M7 6h4v12H7zm6 0h4v12h-4z"/></svg>';
  const sounds = [...document.querySelectorAll(".side audio")];

  for (const sound of sounds) {
    const side = sound.closest(".side");
    const seen = side.querySelector(".seen");
    const button = document.createElement("button");
    button.className = "play";
    button.type = "button";
    button.innerHTML = play;
    button.setAttribute("aria-label", `play: ${side.querySelector(".which").textContent}`);
    side.querySelector(".which").prepend(button);
    side.classList.add("scripted");

    const follow = () => {
      seen.style.setProperty("--at", sound.duration ? sound.currentTime / sound.duration : 0);
      if (!sound.paused) requestAnimationFrame(follow);
    };
    const toggle = () => {
      if (!sound.paused) return sound.pause();
      sounds.forEach((other) => other.pause());
      sound.currentTime = 0;
      sound.play();
    };
    const show = () => {
      side.classList.toggle("playing", !sound.paused);
      follow();
    };
    button.addEventListener("click", toggle);
    seen.addEventListener("click", toggle);
    ["play", "pause", "ended"].forEach((event) => sound.addEventListener(event, show));
  }
})();
