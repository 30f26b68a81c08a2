// The player jumps to a moment, and the timeline below goes with it.
"use strict";
const player = document.getElementById("player");
const now = document.getElementById("now");
const said = document.getElementById("said");
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const places = [...document.querySelectorAll("button[data-at-ms]")];
let startMs = Number(player.dataset.atMs);

const clock = (ms) => {
  const s = Math.floor(ms / 1000), h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  const two = (n) => String(n).padStart(2, "0");
  return `${h ? `${h}:${two(m)}` : m}:${two(s % 60)}.${Math.floor((ms % 1000) / 100)}`;
};

const jump = (ms) => { player.currentTime = ms / 1000; };

player.addEventListener("loadedmetadata", () => { if (startMs) jump(startMs); startMs = 0; });
if (player.readyState > 0 && startMs) { jump(startMs); startMs = 0; }
player.addEventListener("error", () => { document.getElementById("unplayable").hidden = false; });

for (const place of places) {
  place.addEventListener("click", () => { jump(Number(place.dataset.atMs)); });
}

// What is shown now: in each lane the last part that has begun and has not ended.
const lanes = new Map();
for (const place of places) {
  const lane = place.closest(".lane, .texts");
  if (lane) lanes.set(lane, [...(lanes.get(lane) ?? []), place]);
}

const follow = () => {
  const ms = player.currentTime * 1000 + 1;
  now.textContent = clock(ms);
  for (const [lane, parts] of lanes) {
    let current = null;
    for (const part of parts) {
      if (Number(part.dataset.atMs) > ms) break;
      current = part;
    }
    if (current?.dataset.endMs && Number(current.dataset.endMs) < ms) current = null;
    const before = lane.querySelector(".current");
    if (before === current) continue;
    before?.classList.remove("current");
    current?.classList.add("current");
    if (lane.matches(".subtitles, .speech")) said.textContent = current?.textContent ?? "";
    if (current && lane.matches(".lane")) {
      const left = current.offsetLeft - lane.offsetLeft - lane.clientWidth / 2;
      lane.scrollTo({ left, behavior: calm ? "auto" : "smooth" });
    }
  }
};
player.addEventListener("timeupdate", follow);
player.addEventListener("seeked", follow);
follow();
