// Three linked planes through the scan and what controls them: mouse, wheel, finger, keys, buttons.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const section = byId("viewer");
  const data = JSON.parse(byId("viewer-data").textContent);
  const last = data.size.map((size) => size - 1);
  const voxels = openVoxels(data);
  const panes = [
    { name: "axial", across: 0, down: 1, along: 2, turned: false },
    { name: "coronal", across: 0, down: 2, along: 1, turned: true },
    { name: "sagittal", across: 1, down: 2, along: 0, turned: true },
  ].map((view) => openPane(data, voxels, view));
  const state = { at: [...data.start], active: panes[0], window: [400, 40], zoom: 1, centre: [0.5, 0.5, 0.5] };

  const look = () => ({
    window: state.window, zoom: state.zoom, centre: state.centre,
    mask: byId("mask").checked, filling: Number(byId("filling").value) / 100,
    crosshair: byId("crosshair").checked, marks: byId("marks").checked,
  });

  const placeOf = ({ name, along }) => {
    const number = data.numbers[along][state.at[along]];
    const mm = data.first_mm[along] + state.at[along] * data.step_mm[along];
    const direction = ["LR", "PA", "IS"][along][mm >= 0 ? 1 : 0];
    const title = name[0].toUpperCase() + name.slice(1);
    return `${title} ${number} of ${data.counts[along]}${along === 2 ? " from the feet" : ""}, ${direction} ${Math.abs(mm).toFixed(1)} mm`;
  };

  const write = () => {
    for (const pane of panes) {
      const text = placeOf(pane);
      byId(`${pane.name}-place`).textContent = text;
      const slider = byId(`${pane.name}-slice`);
      slider.value = String(state.at[pane.along]);
      slider.setAttribute("aria-valuetext", text);
      pane.canvas.dataset.slice = String(state.at[pane.along]);
      pane.canvas.closest(".pane").classList.toggle("active", pane === state.active);
    }
    byId("shown").textContent = `W ${state.window[0]}  L ${state.window[1]} HU`;
    byId("instance").textContent = data.instances[state.at[2]] || "";
  };

  const show = () => panes.forEach((pane) => pane.show(state.at, look()));
  const render = (some = panes) => {
    some.forEach((pane) => pane.paint(state.at, look()));
    show();
  };

  const draw = async () => {
    const z = state.at[2];
    section.setAttribute("aria-busy", "true");
    try {
      await voxels.load(z);
    } catch (error) {
      fail("A slice could not be unpacked: the file is damaged.");
      return;
    }
    if (z !== state.at[2]) return; // another slice was asked for meanwhile
    write();
    render();
    section.setAttribute("aria-busy", "false");
  };

  const fail = (text) => {
    byId("trouble").textContent = text;
    byId("trouble").hidden = false;
  };

  const goTo = (at) => {
    state.at = at.map((value, axis) => Math.min(last[axis], Math.max(0, Math.round(value))));
    draw();
  };
  const scroll = (pane, steps) => {
    state.active = pane;
    goTo(state.at.map((value, axis) => value + (axis === pane.along ? steps : 0)));
  };

  const zoomBy = (factor) => {
    if (state.zoom === 1) state.centre = state.at.map((value, axis) => (value + 0.5) / data.size[axis]);
    state.zoom = Math.min(8, Math.max(1, state.zoom * factor));
    if (state.zoom === 1) state.centre = [0.5, 0.5, 0.5];
    show();
  };

  const readHu = (pane, event) => {
    const voxel = pane.voxelAt(event, state.at, look());
    const step = voxel ? voxels.greys[voxel[0] + data.size[0] * (voxel[1] + data.size[1] * voxel[2])] : 0;
    const hu = data.values_hu[step];
    const text = step === 0 ? `≤ ${Math.round(hu)}` : step === data.values_hu.length - 1 ? `≥ ${Math.round(hu)}`
      : `${Math.round(hu)} ± ${data.errors_hu[step]}`;
    byId("pointer").textContent = voxel ? `${text} HU` : "";
  };

  const windows = [...document.querySelectorAll('input[name="window"]')];
  const chooseWindow = (input) => {
    input.checked = true;
    state.window = input.value.split(",").map(Number);
    draw();
  };
  const toggle = (id) => { byId(id).checked = !byId(id).checked; draw(); };

  const keys = {
    ArrowUp: () => scroll(state.active, 1), ArrowRight: () => scroll(state.active, 1),
    ArrowDown: () => scroll(state.active, -1), ArrowLeft: () => scroll(state.active, -1),
    PageUp: () => scroll(state.active, 10), PageDown: () => scroll(state.active, -10),
    Home: () => scroll(state.active, -Infinity), End: () => scroll(state.active, Infinity),
    m: () => toggle("mask"), x: () => toggle("crosshair"), l: () => toggle("marks"),
    a: () => scroll(panes[0], 0), c: () => scroll(panes[1], 0), s: () => scroll(panes[2], 0),
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: () => zoomBy(0),
  };

  // Keys belong to the viewer while the focus is in it, and after it was used for as long as it is in view and the
  // focus is nowhere else: a click on text takes the focus away, but not the wish to go on. A control that needs a
  // key itself, such as a slider its arrows, keeps it.
  let used = false;
  let inView = false;
  new IntersectionObserver(([entry]) => { inView = entry.intersectionRatio >= 0.3; }, { threshold: [0, 0.3] })
    .observe(byId("stage"));
  const ownKeys = (target, key) => target.matches('input[type="range"], input[type="radio"]')
    && /^(Arrow|Page|Home|End)/.test(key);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") { used = false; return; }
    const { target } = event;
    if (!section.contains(target) && !(used && inView && target === document.body)) return;
    if (ownKeys(target, event.key)) return;
    const chosen = windows[Number(event.key) - 1];
    const act = chosen ? () => chooseWindow(chosen) : keys[event.key] || keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  // After a click on a control the keys go on as before; whoever reached it by Tab stays on it.
  section.addEventListener("pointerdown", () => { used = true; });
  section.addEventListener("pointerup", (event) => {
    if (event.target.closest(".panel")) setTimeout(() => state.active.canvas.focus({ preventScroll: true }));
  });

  for (const pane of panes) {
    const { canvas } = pane;
    let wheeled = 0;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) {
        zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
        return;
      }
      wheeled += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY / 3;
      const steps = Math.trunc(wheeled);
      if (steps) scroll(pane, -steps);
      wheeled -= steps;
    }, { passive: false });

    let held = null;
    canvas.addEventListener("focus", () => { state.active = pane; write(); });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      held = { x: event.clientX, y: event.clientY, at: [...state.at], centre: [...state.centre], moved: false };
    });
    canvas.addEventListener("pointermove", (event) => {
      readHu(pane, event);
      if (!held) return;
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      held.moved = held.moved || Math.hypot(dx, dy) > 4;
      if (!held.moved) return;
      if (state.zoom > 1) {
        const { w, h } = pane.frame(look());
        const ratio = canvas.width / canvas.getBoundingClientRect().width;
        const within = (value) => Math.min(1, Math.max(0, value));
        state.centre[pane.across] = within(held.centre[pane.across] - (dx * ratio) / w);
        state.centre[pane.down] = within(held.centre[pane.down] + ((pane.turned ? dy : -dy) * ratio) / h);
        show();
      } else {
        scroll(pane, held.at[pane.along] - Math.round(dy / 6) - state.at[pane.along]);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      const voxel = held && !held.moved && pane.voxelAt(event, state.at, look());
      if (voxel) goTo(voxel);
      held = null;
    });
    canvas.addEventListener("pointercancel", () => { held = null; });
    canvas.addEventListener("pointerleave", () => { byId("pointer").textContent = ""; });
    byId(`${pane.name}-slice`).addEventListener("input", (event) => {
      scroll(pane, Number(event.target.value) - state.at[pane.along]);
    });
    new ResizeObserver(show).observe(canvas);
  }

  for (const id of ["mask", "crosshair", "marks"]) byId(id).addEventListener("change", draw);
  byId("filling").addEventListener("input", draw);
  byId("zoom-in").addEventListener("click", () => zoomBy(1.5));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  byId("zoom-reset").addEventListener("click", () => zoomBy(0));
  for (const input of windows) input.addEventListener("change", () => chooseWindow(input));
  for (const button of document.querySelectorAll("button[data-at]")) {
    button.addEventListener("click", () => {
      used = true;
      goTo(button.dataset.at.split(",").map(Number));
      if (button.closest("table")) {
        byId("viewer").scrollIntoView();
        state.active.canvas.focus({ preventScroll: true });
      }
    });
  }

  if (typeof DecompressionStream === "undefined") {
    fail("This browser is too old to unpack the slices (Chrome or Edge 80, Firefox 113, Safari 16.4). "
      + "The rest of the report is complete.");
    return;
  }
  draw();
  voxels.loadAll(() => state.at[2], () => render(panes.slice(1)))
    .then(() => { section.dataset.complete = "true"; })
    .catch(() => fail("A slice could not be unpacked: the file is damaged."));
})();
