"use strict";
// Search in pages opened from the disk: browsers start no Worker there, so its script runs in a hidden frame instead.
if (location.protocol === "file:") window.Worker = class extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    const inside = frame.contentWindow;
    inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    inside.importScripts = (...urls) => urls.reduce((before, each) => before.then(() => load(each)), Promise.resolve());
    const load = (source) => new Promise((resolve, reject) => {
      const script = inside.document.createElement("script");
      Object.assign(script, { src: source, onload: resolve, onerror: reject });
      inside.document.body.append(script);
    });
    this.inside = inside;
    this.ready = load(url);
  }
  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
  }
  set onmessage(listener) { this.addEventListener("message", listener); }
  terminate() { this.inside.frameElement.remove(); }
};
