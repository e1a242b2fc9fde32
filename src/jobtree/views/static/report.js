// Draws the charts of a report from the data in the page.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = id => document.getElementById(id);
  if (at("timeline")) Charts.timeline(at("timeline"), data.timeline);
  if (at("usage")) Charts.usage(at("usage"), data.usage);
  if (at("memory")) Charts.boxes(at("memory"), data.memory, Charts.size);
  if (at("time")) Charts.boxes(at("time"), data.time, Charts.duration);
  if (at("icicle")) Charts.icicle(at("icicle"), data.recursion, data.timeline.names);
  document.documentElement.dataset.drawn = "yes";
})();
