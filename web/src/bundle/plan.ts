/** The Plan of a bundle (src/renalmap/preprocess/plan.py): every number by which a scan is segmented. */

import { BundleError } from "../errors";

export interface Plan {
  format_version: 1;
  grid_size: number;
  outside_hu: number;
  clip_hu: [number, number] | null;
  normalisation: "slice_statistics" | "global_zscore" | "volume_zscore" | "none";
  statistics_weighting: "slice" | "case";
  deviation_floor_hu: number;
  localizer_reduction: 1 | 2;
  crop: "blob" | "slice";
  crop_size: number;
  crop_margin: number;
  narrow_crop_size: number | null;
  localizer_threshold: number;
  localizer_low_threshold: number | null;
  flip_averaging: "none" | "segmenter" | "both";
  smoothing_sigma_mm: number;
  follow_gap_mm: number;
  follow_unsupported_mm: number;
  follow_agreement: number;
  follow_min_probability: number;
  follow_min_overlap: number;
  follow_growth_per_mm: number;
  follow_hu: number;
  peel_fat_mm: number;
  fill_holes_mm2: number;
  component_min_ml: number;
  component_min_area_mm2: number;
  component_min_share: number;
  component_min_kidney_ml: number;
  tumour_min_ml: number;
  tumour_min_area_mm2: number;
  tumour_min_mean_probability: number;
  tumour_min_peak_probability: number;
  keep: "all" | "two_kidneys";
  kidney_crossing_share: number;
  kidney_joined_mm: number;
  further_kidney_min_ml: number;
  further_kidney_min_share: number;
}

/** What Python's `Plan()` says where a plan.json is silent; a test compares them. */
export const DEFAULTS: Plan = {
  format_version: 1,
  grid_size: 512,
  outside_hu: -1024,
  clip_hu: [-200, 300],
  normalisation: "slice_statistics",
  statistics_weighting: "slice",
  deviation_floor_hu: 10,
  localizer_reduction: 1,
  crop: "blob",
  crop_size: 256,
  crop_margin: 24,
  narrow_crop_size: null,
  localizer_threshold: 0.5,
  localizer_low_threshold: null,
  flip_averaging: "none",
  smoothing_sigma_mm: 0,
  follow_gap_mm: 0,
  follow_unsupported_mm: 20,
  follow_agreement: 0.05,
  follow_min_probability: 0.7,
  follow_min_overlap: 0.4,
  follow_growth_per_mm: 0.06,
  follow_hu: 40,
  peel_fat_mm: 0,
  fill_holes_mm2: 0,
  component_min_ml: 25,
  component_min_area_mm2: 100,
  component_min_share: 0.02,
  component_min_kidney_ml: 2,
  tumour_min_ml: 0,
  tumour_min_area_mm2: 0,
  tumour_min_mean_probability: 0,
  tumour_min_peak_probability: 0,
  keep: "all",
  kidney_crossing_share: 0.2,
  kidney_joined_mm: 10,
  further_kidney_min_ml: 40,
  further_kidney_min_share: 0.4,
};

/** What the page does, of the fields that are a choice. */
const CHOICES: { [Name in keyof Plan]?: readonly Plan[Name][] } = {
  format_version: [1],
  normalisation: ["slice_statistics", "global_zscore", "volume_zscore", "none"],
  statistics_weighting: ["slice", "case"],
  localizer_reduction: [1, 2],
  crop: ["blob", "slice"],
  flip_averaging: ["none", "segmenter", "both"],
  keep: ["all", "two_kidneys"],
};

const MAY_BE_NULL: readonly string[] = ["clip_hu", "narrow_crop_size", "localizer_low_threshold"];

/**
 * Read a plan.json.
 *
 * @throws BundleError it asks for something by a name or value that this page does not know.
 */
export function parsePlan(text: string, where = "plan.json"): Plan {
  const given = parseObject(text, where);
  const unknown = Object.keys(given).filter((name) => !(name in DEFAULTS));
  if (unknown.length > 0) {
    throw new BundleError("the bundle's Plan asks for something that this page does not do", {
      where,
      got: unknown.map((name) => `${name} = ${JSON.stringify(given[name])}`).join(", "),
      hint: "Use a newer page, or the Python program",
    });
  }
  const plan = { ...DEFAULTS, ...given } as Plan;
  for (const [name, value] of Object.entries(plan)) checkField(name as keyof Plan, value, where);
  return plan;
}

function checkField(name: keyof Plan, value: unknown, where: string): void {
  const refuse = (expected: string): never => {
    throw new BundleError(`the bundle's Plan has a ${name} that this page does not do`, {
      where,
      got: JSON.stringify(value),
      expected,
      hint: "Use a newer page, or the Python program",
    });
  };
  const choices = CHOICES[name] as readonly unknown[] | undefined;
  if (choices !== undefined) {
    if (!choices.includes(value)) refuse(choices.map((choice) => String(choice)).join(" or "));
  } else if (value === null) {
    if (!MAY_BE_NULL.includes(name)) refuse("a number");
  } else if (name === "clip_hu") {
    const range = Array.isArray(value) ? value : [];
    if (range.length !== 2 || !range.every(Number.isFinite) || range[0] >= range[1]) {
      refuse("two ascending numbers");
    }
  } else if (!Number.isFinite(value)) {
    refuse("a number");
  }
}

function parseObject(text: string, where: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new BundleError("the bundle's Plan cannot be read", { where, got: String(error) });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new BundleError("the bundle's Plan cannot be read", { where, got: "no JSON object" });
  }
  return parsed as Record<string, unknown>;
}
