(() => {
  const card = (element) => element.closest(".draw");
  const takes = (draw) => all(".take", draw);
  const sound = (inside) => inside.querySelector("audio");

  // strength: shows another take of the same draw; a sound that plays goes on from the same word
  const choose = (slider) => {
    const draw = card(slider);
    const playing = all(".take audio", draw).find((each) => !each.paused);
    const strengths = all(".stops span", draw).map((each) => each.textContent);
    const strength = strengths[slider.value];
    for (const take of takes(draw)) take.hidden = take.dataset.strength !== strength;
    const chosen = draw.querySelector(".take:not([hidden])");
    draw.querySelector("output").textContent = chosen.dataset.says;
    slider.setAttribute("aria-valuetext", `${strength}: ${chosen.dataset.says}`);
    const next = sound(chosen);
    if (playing && next !== playing) {
      next.currentTime = (playing.currentTime / playing.duration) * next.duration || 0;
      playing.pause();
      next.play();
    }
  };
  addEventListener("input", (event) => event.target.matches(".strength input") && choose(event.target));

  // a click into a picture plays from there
  addEventListener("click", (event) => {
    const stage = event.target.closest(".stage");
    const audio = stage && sound(stage.parentElement);
    if (!audio) return;
    const shown = stage.querySelector(".shown").getBoundingClientRect();
    audio.currentTime = Math.min(1, (event.clientX - shown.left) / shown.width) * audio.duration || 0;
    audio.play();
  });

  // where a sound is, on its pictures
  const follow = (audio) => {
    const stage = audio.parentElement.querySelector(".stage");
    const head = stage.querySelector(".head");
    head.hidden = audio.currentTime === 0 || audio.ended;
    head.style.left = `${(audio.currentTime / audio.duration) * stage.querySelector(".shown").offsetWidth}px`;
    if (!audio.paused) requestAnimationFrame(() => follow(audio));
  };
  for (const moment of ["play", "seeked", "ended"]) addEventListener(moment, (event) => follow(event.target), true);

  // a fresh draw, where this page is served
  const ready = (inside) => all(".strength input", inside).forEach(choose);
  const draw = async (button) => {
    const old = card(button);
    const seed = Math.max(...all(".draw").map((each) => Number(each.dataset.seed))) + 1;
    button.setAttribute("aria-busy", "true");
    button.textContent = "Drawing …";
    try {
      const answer = await fetch(`draw?recording=${old.dataset.recording}&seed=${seed}`);
      if (!answer.ok) throw new Error(await answer.text());
      const template = document.createElement("template");
      template.innerHTML = await answer.text();
      const fresh = template.content.querySelector(".draw");
      fresh.querySelector(".strength input").value = old.querySelector(".strength input").value;
      old.replaceWith(fresh);
      ready(fresh);
      fresh.querySelector(".fresh").focus();
    } catch (error) {
      button.textContent = "No answer: is speechaug preview still running?";
    }
    button.removeAttribute("aria-busy");
  };
  addEventListener("click", (event) => event.target.matches(".fresh:not([aria-busy])") && draw(event.target));

  ready(document);
})();
