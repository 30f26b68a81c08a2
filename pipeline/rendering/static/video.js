// The player jumps to a moment, and the timeline below goes with it.
"use strict";
const player = document.getElementById("player");
const now = document.getElementById("now");
const said = document.getElementById("said");
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const places = [...document.querySelectorAll("button[data-at-ms]")];
let startMs = Number(player?.dataset.atMs ?? 0);

const clock = (ms) => {
  const s = Math.floor(ms / 1000), h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  const two = (n) => String(n).padStart(2, "0");
  return `${h ? `${h}:${two(m)}` : m}:${two(s % 60)}.${Math.floor((ms % 1000) / 100)}`;
};

// What the browser cannot play is shown by small copies, a minute each; `piece` is the one shown, -1 for the video itself.
// A page in a file has no copies, and no player where the video is not at hand.
const note = document.getElementById("unplayable");
const pieceMs = Number(player?.dataset.pieceMs ?? 0);
let piece = -1;
const offset = () => (piece < 0 ? 0 : piece * pieceMs);

const show = (ms) => {
  note.hidden = false;
  if (!pieceMs) {
    note.textContent = "This browser cannot show the pictures of this video. reelbeam explore shows a small copy.";
    return;
  }
  piece = Math.floor(ms / pieceMs);
  startMs = ms;
  note.textContent = "This browser cannot play the video; a small copy of this minute is being made.";
  player.src = `/api/previews/${player.dataset.id}/${piece}.mp4`;
};

const jump = (ms) => {
  if (piece >= 0 && Math.floor(ms / pieceMs) !== piece) show(ms);
  else player.currentTime = (ms - offset()) / 1000;
};

// A bucket's own address runs out after some minutes: then another is asked for. Where the bucket cannot be reached from here, the
// bytes come through the explorer.
const RUNS_OUT_MS = 60_000;
let proxied = !(player && "signed" in player.dataset), readyAt = 0, lastMs = startMs;

const reload = () => {
  const goesOn = !player.paused;
  startMs = lastMs;
  player.src = `/api/media/${player.dataset.id}${proxied ? "?proxied=true" : ""}`;
  if (goesOn) player.play().catch(() => {});
};

const loaded = () => {
  readyAt = Date.now();
  if (piece >= 0) note.textContent = "This browser cannot play the video; a small copy of this minute is shown.";
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
player?.addEventListener("loadedmetadata", loaded);
player?.addEventListener("error", failed);
if (player?.error) failed();
else if (player?.readyState > 0) loaded();

for (const place of places) {
  if (player) place.addEventListener("click", () => { jump(Number(place.dataset.atMs)); });
  else place.disabled = true;
}

// The timeline: all lanes to one scale, so that what happens at one time stands in one column.
const TICK_PX = 100, LEAST_PX_PER_S = 60, ROW_PX = 22, MOST_ROWS = 6, QUIET_DB = -80;
const timeline = document.getElementById("timeline");
const tracks = timeline?.querySelector(".tracks");
const playhead = timeline?.querySelector(".playhead");
const firstMs = Number(timeline?.dataset.startMs ?? 0);
const pxPerMs = Math.max(TICK_PX / Number(timeline?.dataset.tickMs ?? 1000), LEAST_PX_PER_S / 1000);
const xOf = (ms) => (Number(ms) - firstMs) * pxPerMs;

const layOut = () => {
  timeline.classList.add("scaled");
  tracks.style.width = `${Math.ceil(xOf(timeline.dataset.endMs))}px`;
  for (const part of tracks.querySelectorAll("[data-at-ms]")) {
    part.style.left = `${xOf(part.dataset.atMs)}px`;
    const width = `${Math.max(2, xOf(part.dataset.endMs) - xOf(part.dataset.atMs))}px`;
    if (part.matches(".word")) part.style.minWidth = width;
    else if (part.dataset.endMs) part.style.width = width;
  }
  for (const bar of tracks.querySelectorAll(".level i")) {
    bar.style.height = `${Math.max(2, 100 * (1 - Number(bar.parentElement.dataset.level) / QUIET_DB))}%`;
  }
  for (const lane of tracks.querySelectorAll(".lane.said")) stack(lane);
};

// What would lie over another text goes into the next row.
const stack = (lane) => {
  const parts = [...lane.children];
  const widths = parts.map((part) => part.offsetWidth);
  const ends = [];
  parts.forEach((part, at) => {
    const left = xOf(part.dataset.atMs);
    let row = ends.findIndex((end) => end <= left);
    if (row < 0) row = ends.length < MOST_ROWS ? ends.length : ends.indexOf(Math.min(...ends));
    ends[row] = left + widths[at] + 2;
    part.style.top = `${row * ROW_PX}px`;
  });
  lane.style.height = `${ends.length * ROW_PX}px`;
};

if (timeline) layOut();
if (timeline && player) {
  tracks.addEventListener("click", (event) => {
    if (!event.target.closest("button")) jump(firstMs + (event.clientX - tracks.getBoundingClientRect().left) / pxPerMs);
  });
}

// What is shown now: in each lane the last part that has begun and has not ended.
const lanes = new Map();
for (const place of places) {
  const lane = place.closest(".lane, .texts");
  if (!lane) continue;
  if (lanes.has(lane)) lanes.get(lane).push(place);
  else lanes.set(lane, [place]);
}

const inView = (x) => {
  const width = timeline.clientWidth;
  if (x >= timeline.scrollLeft && x <= timeline.scrollLeft + width * 0.85) return;
  timeline.scrollTo({ left: x - width * 0.3, behavior: calm ? "auto" : "smooth" });
};

const follow = () => {
  if (player.readyState > 0) lastMs = offset() + player.currentTime * 1000;
  const ms = offset() + player.currentTime * 1000 + 1;
  now.textContent = clock(ms);
  if (timeline) {
    playhead.style.left = `${xOf(ms)}px`;
    inView(xOf(ms));
  }
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
    if (!lane.matches(".texts")) continue;
    if (lane.matches(".subtitles, .speech")) said.textContent = current?.textContent ?? "";
    if (current) lane.scrollTo({ top: current.offsetTop - lane.offsetTop - lane.clientHeight / 2, behavior: calm ? "auto" : "smooth" });
  }
};
if (player) {
  player.addEventListener("timeupdate", follow);
  player.addEventListener("seeked", follow);
  follow();
}
