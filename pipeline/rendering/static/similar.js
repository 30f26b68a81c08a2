// Videos that look like this one: asked for when the page is there, because the index may still be loading.
"use strict";
const similar = document.getElementById("similar");

const card = (one) => {
  const item = document.createElement("li");
  item.className = "card";
  const link = document.createElement("a");
  link.className = "moment";
  link.href = `/videos/${one.video_id}?at_ms=${one.other_ms}`;
  const picture = document.createElement("img");
  Object.assign(picture, { src: one.thumbnail, alt: "", loading: "lazy", width: 320, height: 180 });
  picture.addEventListener("error", () => { picture.remove(); });
  const head = document.createElement("p");
  head.className = "head";
  const name = document.createElement("b");
  name.textContent = one.name;
  const score = document.createElement("span");
  score.className = "soft";
  score.textContent = one.score.toFixed(3);
  head.append(name, " ", score);
  link.append(picture, head);
  item.append(link);
  return item;
};

const fill = async () => {
  const answer = await fetch(similar.dataset.from);
  if (!answer.ok) return; // without an index of frames there is nothing to show
  const found = await answer.json();
  similar.querySelector("ol").append(...found.map(card));
  similar.hidden = found.length === 0;
};
fill().catch(() => {});
