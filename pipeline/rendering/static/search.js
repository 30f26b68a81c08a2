// Keys of the results: j and k move, Enter opens (a link has the focus), / goes to the box.
"use strict";
const moments = [...document.querySelectorAll("a.moment")];
const box = document.querySelector("input[type=search]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const at = moments.indexOf(document.activeElement);
  if (event.key === "/") box.focus();
  else if (event.key === "j") moments[Math.min(at + 1, moments.length - 1)]?.focus();
  else if (event.key === "k") moments[Math.max(at - 1, 0)]?.focus();
  else return;
  event.preventDefault();
});

// A picture that cannot be had (the video is not at hand) leaves its place, and says so.
for (const picture of document.querySelectorAll("a.moment img")) {
  picture.addEventListener("error", () => {
    const none = document.createElement("span");
    none.className = "none";
    none.textContent = "no picture";
    picture.replaceWith(none);
  });
}

// A picture that is dropped on the page or pasted is what is looked for.
const byPicture = document.getElementById("by-picture");
const look = (files) => {
  if (![...files].some((file) => file.type.startsWith("image/"))) return false;
  byPicture.querySelector("input[type=file]").files = files;
  byPicture.requestSubmit();
  return true;
};
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => { event.preventDefault(); look(event.dataTransfer.files); });
document.addEventListener("paste", (event) => { if (look(event.clipboardData.files)) event.preventDefault(); });
