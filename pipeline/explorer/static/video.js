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

// What the browser cannot play is shown by small copies, a minute each; `piece` is the one shown, -1 for the video itself.
const note = document.getElementById("unplayable");
const pieceMs = Number(player.dataset.pieceMs);
let piece = -1;
const offset = () => (piece < 0 ? 0 : piece * pieceMs);

const show = (ms) => {
  piece = Math.floor(ms / pieceMs);
  startMs = ms;
  note.textContent = "This browser cannot play the video; a small copy of this minute is shown.";
  note.hidden = false;
  player.src = `/api/previews/${player.dataset.id}/${piece}.mp4`;
};

const jump = (ms) => {
  if (piece >= 0 && Math.floor(ms / pieceMs) !== piece) show(ms);
  else player.currentTime = (ms - offset()) / 1000;
};

// A bucket's own address runs out after some minutes: then another is asked for. Where the bucket cannot be reached from here, the
// bytes come through the explorer.
const RUNS_OUT_MS = 60_000;
let proxied = !("signed" in player.dataset), readyAt = 0, lastMs = startMs;

const reload = () => {
  const goesOn = !player.paused;
  startMs = lastMs;
  player.src = `/api/media/${player.dataset.id}${proxied ? "?proxied=true" : ""}`;
  if (goesOn) player.play().catch(() => {});
};

const loaded = () => {
  readyAt = Date.now();
  if (piece < 0 && "shows" in player.dataset && !player.videoWidth) show(startMs);
  else if (startMs) jump(startMs);
};
const failed = () => {
  if (piece < 0 && !proxied) {
    proxied = !readyAt || Date.now() - readyAt < RUNS_OUT_MS;
    readyAt = 0;
    reload();
  } else if (piece < 0) show(lastMs);
  else note.textContent = "This video cannot be played here.";
};
player.addEventListener("loadedmetadata", loaded);
player.addEventListener("error", failed);
if (player.error) failed();
else if (player.readyState > 0) loaded();

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
  if (player.readyState > 0) lastMs = offset() + player.currentTime * 1000;
  const ms = offset() + player.currentTime * 1000 + 1;
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
