"use strict";
// Players: the clips of a group play from one clock, so that choosing another goes on at the same instant.
(() => {
  const audio = window.report.read("audio-data");
  const FADE = 0.015; // seconds
  let context = null;
  let current = null; // the group that was used last

  function buffer(name) {
    const bytes = Uint8Array.from(atob(audio[name]), (character) => character.charCodeAt(0));
    return context.decodeAudioData(bytes.buffer);
  }

  class Group {
    constructor(element) {
      this.element = element;
      this.seconds = Number(element.dataset.seconds);
      this.clips = Array.from(element.querySelectorAll(".clip"));
      this.slider = element.querySelector("input[type=range]");
      this.play = element.querySelector(".play");
      this.time = element.querySelector(".time");
      this.now = element.querySelector(".now");
      this.loop = element.querySelector(".loop");
      this.buffers = new Map();
      this.active = this.clips[0];
      this.position = 0; // seconds, while nothing plays
      this.voice = null;
      for (const clip of this.clips) clip.addEventListener("click", () => this.choose(clip));
      this.play.addEventListener("click", () => (this.voice ? this.pause() : this.start()));
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
      this.loop.addEventListener("change", () => this.voice && this.start());
      this.show();
    }

    at() {
      if (!this.voice) return this.position;
      const time = this.voice.offset + Math.max(0, context.currentTime - this.voice.began);
      return this.loop.checked ? time % this.seconds : Math.min(time, this.seconds);
    }

    choose(clip) {
      if (clip === this.active && this.voice) return this.pause();
      this.active = clip;
      return this.start();
    }

    // Play the active clip from where the group is; what played before fades out over the same instants.
    async start() {
      context ??= new AudioContext();
      context.resume();
      if (current && current !== this) current.pause();
      current = this;
      const clip = this.active;
      this.mark();
      const name = clip.dataset.clip;
      if (!this.buffers.has(name)) this.buffers.set(name, buffer(name));
      const sound = await this.buffers.get(name);
      if (clip !== this.active || current !== this) return;
      const offset = this.at() >= this.seconds - 0.02 ? 0 : this.at();
      this.silence();
      const source = new AudioBufferSourceNode(context, { buffer: sound, loop: this.loop.checked, loopEnd: this.seconds });
      const gain = new GainNode(context, { gain: 0 });
      const began = context.currentTime;
      gain.gain.setValueAtTime(0, began);
      gain.gain.linearRampToValueAtTime(1, began + FADE);
      source.connect(gain).connect(context.destination);
      source.start(began, offset);
      this.voice = { source, gain, began, offset };
      source.onended = () => {
        if (this.voice?.source === source) {
          this.voice = null;
          this.position = 0;
          this.show();
        }
      };
      this.show();
      this.follow();
      this.prepare();
    }

    // Decode the other clips, so that a first switch to them is as quick as a later one.
    prepare() {
      for (const { dataset } of this.clips) {
        if (!this.buffers.has(dataset.clip)) this.buffers.set(dataset.clip, buffer(dataset.clip));
      }
    }

    silence() {
      if (!this.voice) return;
      const { source, gain } = this.voice;
      source.onended = null;
      gain.gain.cancelScheduledValues(context.currentTime);
      gain.gain.setTargetAtTime(0, context.currentTime, FADE / 3);
      source.stop(context.currentTime + 3 * FADE);
      this.voice = null;
    }

    pause() {
      this.position = this.at();
      this.silence();
      this.show();
    }

    seek(seconds) {
      const playing = this.voice !== null;
      this.silence();
      this.position = seconds;
      if (playing) this.start();
      else this.show();
    }

    follow() {
      if (!this.voice) return;
      this.show();
      requestAnimationFrame(() => this.follow());
    }

    mark() {
      for (const clip of this.clips) clip.setAttribute("aria-pressed", String(clip === this.active));
      this.now.textContent = this.active.getAttribute("aria-label");
    }

    show() {
      const at = this.at();
      this.element.classList.toggle("playing", this.voice !== null);
      this.play.setAttribute("aria-label", this.voice ? "Pause" : "Play");
      this.element.style.setProperty("--at", String(at / this.seconds));
      this.slider.value = String(at);
      this.slider.setAttribute("aria-valuetext", `${at.toFixed(1)} seconds`);
      this.time.textContent = `${at.toFixed(1)} / ${this.seconds.toFixed(1)} s`;
    }

    // Let go of decoded sound when another group is shown.
    leave() {
      this.pause();
      if (current === this) current = null; // what is still being decoded won't play
      this.buffers.clear();
    }
  }

  for (const set of document.querySelectorAll(".players")) {
    const groups = Array.from(set.querySelectorAll(".group"), (element) => new Group(element));
    const show = (index) => {
      groups.forEach((group, i) => {
        if (i !== index && !group.element.hidden) group.leave();
        group.element.hidden = i !== index;
      });
    };
    for (const radio of set.querySelectorAll(".tabs input")) {
      radio.addEventListener("change", () => show(Number(radio.value)));
    }
    show(Number(set.querySelector(".tabs input:checked")?.value ?? 0));
  }
})();
