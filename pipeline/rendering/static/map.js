// The map: dots on a canvas, zoomed with the wheel, dragged, or driven with keys; a dot shows its frame and opens its video.
"use strict";

const canvas = document.getElementById("map");
const pen = canvas.getContext("2d");
const view = { scale: 1, left: 0, top: 0 }; // of the unit square, in units of the smaller side
const NEAR_PX = 14;
const MOST_NAMED = 40;
let points = null;
let chosen = -1;
let drag = null;

const colourOf = (number) => `hsl(${Math.round(((number * 0.618034) % 1) * 360)} 62% 52%)`;
const part = () => document.getElementById("colour").value;
const side = () => Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94;

// Where a dot lies on the canvas, in CSS pixels.
function place(at) {
  const size = side() * view.scale;
  return [
    canvas.clientWidth / 2 + (points.x[at] - 0.5 - view.left) * size,
    canvas.clientHeight / 2 - (points.y[at] - 0.5 - view.top) * size,
  ];
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (!points) return;
  const numbers = points[part()];
  const radius = Math.min(9, (points.x.length > 1500 ? 2.4 : 4) * Math.sqrt(view.scale));
  for (let at = 0; at < points.x.length; at += 1) {
    const [x, y] = place(at);
    if (x < -9 || y < -9 || x > canvas.clientWidth + 9 || y > canvas.clientHeight + 9) continue;
    pen.fillStyle = colourOf(numbers[at]);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.fill();
  }
  if (chosen >= 0) {
    const [x, y] = place(chosen);
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, radius + 4, 0, 7);
    pen.stroke();
  }
}

const nameOf = (uri) => uri.slice(uri.lastIndexOf("/") + 1);

function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}.${Math.floor((ms % 1000) / 100)}`;
}

// A page in a file leads to the video's own file, where there is one.
function address(at) {
  if (!points.addresses) return `/videos/${encodeURIComponent(points.video_ids[points.video[at]])}?at_ms=${points.at_ms[at]}`;
  const file = points.addresses[points.video[at]];
  return file ? `${file}#t=${(points.at_ms[at] / 1000).toFixed(1)}` : "";
}

function choose(at) {
  if (at === chosen) return;
  chosen = at;
  document.getElementById("frame").hidden = at < 0;
  document.getElementById("hint").hidden = at >= 0;
  canvas.dataset.chosen = at;
  if (at >= 0) {
    const picture = document.getElementById("frame-picture");
    picture.hidden = Boolean(points.addresses);
    if (!picture.hidden) picture.src = `/api/frames/${points.row[at]}/${points.tick[at]}.jpg`;
    const link = document.getElementById("frame-link");
    link.href = address(at);
    link.hidden = !address(at);
    link.setAttribute("aria-label", `Open ${nameOf(points.uris[points.video[at]])}`);
    document.getElementById("frame-name").textContent =
      `${nameOf(points.uris[points.video[at]])} ${clock(points.at_ms[at])}`;
  }
  draw();
}

function visit(at) {
  if (address(at)) window.location.assign(address(at));
}

function nearest(x, y) {
  let best = -1;
  let distance = NEAR_PX * NEAR_PX;
  for (let at = 0; at < points.x.length; at += 1) {
    const [px, py] = place(at);
    const found = (px - x) ** 2 + (py - y) ** 2;
    if (found < distance) [best, distance] = [at, found];
  }
  return best;
}

// Zooms so that the point under (x, y) stays where it is.
function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.min(60, Math.max(0.5, view.scale * factor));
  const [fromLeft, fromTop] = [(x - canvas.clientWidth / 2) / side(), (canvas.clientHeight / 2 - y) / side()];
  view.left += fromLeft / view.scale - fromLeft / scale;
  view.top += fromTop / view.scale - fromTop / scale;
  view.scale = scale;
  canvas.dataset.scale = scale.toFixed(2);
  draw();
}

function move(x, y) {
  view.left -= x / (side() * view.scale);
  view.top += y / (side() * view.scale);
  draw();
}

function whole() {
  Object.assign(view, { scale: 1, left: 0, top: 0 });
  canvas.dataset.scale = "1.00";
  draw();
}

// The next dot in view, or the one before, from left to right.
function step(forward) {
  const seen = [...points.x.keys()].filter((at) => {
    const [x, y] = place(at);
    return x >= 0 && y >= 0 && x <= canvas.clientWidth && y <= canvas.clientHeight;
  });
  if (!seen.length) return;
  seen.sort((one, other) => points.x[one] - points.x[other]);
  choose(seen[(seen.indexOf(chosen) + (forward ? 1 : -1) + seen.length) % seen.length]);
}

function legend() {
  const list = document.getElementById("legend");
  const names = {
    video: points.uris.map(nameOf),
    cluster: [...Array(points.clusters).keys()].map((number) => `cluster ${number + 1}`),
    language: points.languages.map((language) => language || "nothing said"),
  }[part()];
  const counts = new Map();
  for (const number of points[part()]) counts.set(number, (counts.get(number) || 0) + 1);
  const order = [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one));
  list.replaceChildren(
    ...order.slice(0, MOST_NAMED).map((number) => {
      const line = document.createElement("li");
      const dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      dot.setAttribute("viewBox", "0 0 10 10");
      dot.setAttribute("aria-hidden", "true");
      const round = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      for (const [name, value] of [["cx", 5], ["cy", 5], ["r", 5], ["fill", colourOf(number)]]) round.setAttribute(name, value);
      dot.append(round);
      line.append(dot, `${names[number]} (${counts.get(number)})`);
      return line;
    }),
  );
  if (order.length > MOST_NAMED) list.append(Object.assign(document.createElement("li"), { textContent: `and ${order.length - MOST_NAMED} more` }));
}

const offset = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

canvas.addEventListener("pointermove", (event) => {
  if (!points) return;
  if (drag) {
    move(event.clientX - drag.x, event.clientY - drag.y);
    drag = { x: event.clientX, y: event.clientY, far: drag.far + Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y) };
  } else {
    const found = nearest(...offset(event));
    if (found >= 0) choose(found);
  }
});
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, far: 0 };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointerup", (event) => {
  const clicked = drag && drag.far < 4;
  drag = null;
  if (!points || !clicked) return;
  const found = nearest(...offset(event));
  if (found < 0) return;
  const shown = found === chosen && event.pointerType !== "touch";
  choose(found); // a first touch shows the frame, and the picture is the link
  if (shown) visit(found);
});
canvas.addEventListener("pointercancel", () => { drag = null; });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), ...offset(event));
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  if (!points || event.ctrlKey || event.metaKey || event.altKey) return;
  if (moves[event.key]) move(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") zoom(1.4);
  else if (event.key === "-") zoom(1 / 1.4);
  else if (event.key === "0") whole();
  else if (event.key === "n" || event.key === "p") step(event.key === "n");
  else if (event.key === "Enter" && chosen >= 0) visit(chosen);
  else return;
  event.preventDefault();
});
document.getElementById("closer").addEventListener("click", () => zoom(1.4));
document.getElementById("further").addEventListener("click", () => zoom(1 / 1.4));
document.getElementById("whole").addEventListener("click", whole);
document.getElementById("colour").addEventListener("change", () => {
  if (points) legend();
  draw();
});
new ResizeObserver(draw).observe(canvas);

async function load() {
  const state = document.getElementById("map-state");
  const held = document.getElementById("map-points");
  try {
    if (held) {
      points = JSON.parse(held.textContent);
      shown();
      return;
    }
    const answer = await fetch("/api/map", { headers: { accept: "application/json" } });
    const found = await answer.json();
    if (found.state === "computing") {
      window.setTimeout(load, 1500);
      return;
    }
    if (!answer.ok || found.state !== "done") {
      state.textContent = found.message || found.detail || found.title;
      return;
    }
    points = found.value;
  } catch (error) {
    state.textContent = `The map did not come: ${error.message}`;
    return;
  }
  shown();
}

function shown() {
  const number = points.x.length;
  document.getElementById("map-state").textContent =
    number < points.of_frames ? `${number} of ${points.of_frames} frames` : `${number} frames`;
  canvas.dataset.points = number;
  legend();
  whole();
}
load();
