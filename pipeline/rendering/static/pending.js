// Asks for the page again while something on it is still being computed.
"use strict";
if (document.querySelector("[data-pending]")) {
  window.setTimeout(() => window.location.reload(), 1500);
}
