/** Which pieces of kidney tissue make up one kidney, and on which side it is (src/renalmap/anatomy/kidneys.py). */

import { type Grid, type Midline, voxelMlOf } from "./midline";
import { type Border, bordersOf, SIDES, type Side, type Voxels } from "./voxels";

export const SPECK_BELOW_ML = 0.1;
const NO_SIDE_WITHIN_MM = 30;
const HORSESHOE_WIDTH_MM = 100;
const FURTHER_KIDNEY_ML = 20;
const FURTHER_KIDNEY_GAP_MM = 10;

/** The share of one kidney in a connected component of the foreground. */
export interface Piece {
  /** The component's index. */
  component: number;
  /** The kidney's own tissue in it. */
  own: Voxels;
  /** Whether the midline divides the component between two kidneys. */
  isHalf: boolean;
}

/** One kidney, without its lesions. */
export interface Kidney {
  number: number;
  id: string;
  /** Null if it cannot be determined. */
  side: Side | null;
  /** At least one, the one with most tissue first. */
  pieces: Piece[];
  /** Of the scan that its own tissue touches. */
  borders: Border[];
}

/** The kidneys and their pieces, left before right; components without kidney tissue are left out. */
export function assembleKidneys(own: readonly Voxels[], grid: Grid, midline: Midline): Kidney[] {
  let pieces: [Side | null, Piece[]][] = SIDES.map((side) => [side, []]);
  const add = (side: Side, piece: Piece) => pieces[SIDES.indexOf(side)][1].push(piece);
  own.forEach((tissue, component) => {
    if (tissue.size * voxelMlOf(grid) < SPECK_BELOW_ML) return;
    if (isHorseshoe(tissue, grid, midline)) {
      for (const side of SIDES)
        add(side, { component, own: tissue.on(side, midline.track), isHalf: true });
    } else {
      add(tissue.side(midline.track), { component, own: tissue, isHalf: false });
    }
  });
  const every = pieces.flatMap(([, found]) => found);
  if (sideIsDoubtful(every, grid, midline)) pieces = [[null, every]];
  const kidneys: Kidney[] = [];
  for (const [side, found] of pieces) {
    groupsOf(found, grid).forEach((group, rank) => {
      kidneys.push({
        number: kidneys.length + 1,
        id: `${side ?? "unknown"}${rank > 0 ? `_${rank + 1}` : ""}`,
        side,
        pieces: group,
        borders: bordersOf(
          group.map((piece) => piece.own),
          grid.shape,
        ),
      });
    });
  }
  return kidneys;
}

/** Whether a kidney's tissue continues across the midline, which separates it from the other one. */
export function crossesMidline({ pieces }: Kidney): boolean {
  return pieces.some((piece) => piece.isHalf);
}

/** Distance between the box of some voxels and the nearest box of others; 0 where they overlap. */
export function gapMm(one: Voxels, others: readonly Voxels[], { spacingMm }: Grid): number {
  const gaps = others.map((other) =>
    Math.hypot(
      ...[0, 1, 2].map(
        (axis) =>
          spacingMm[axis] *
          Math.max(
            0,
            one.box.start[axis] - other.box.stop[axis],
            other.box.start[axis] - one.box.stop[axis],
          ),
      ),
    ),
  );
  return Math.min(...gaps);
}

function isHorseshoe(tissue: Voxels, grid: Grid, midline: Midline): boolean {
  if (!midline.crossedBy(tissue, voxelMlOf(grid))) return false;
  const widthMm = tissue.width * grid.spacingMm[2];
  return midline.basis !== "field_of_view" || widthMm >= HORSESHOE_WIDTH_MM;
}

/** Whether there is neither a body nor a second kidney, and the only kidney lies near the middle. */
function sideIsDoubtful(pieces: readonly Piece[], grid: Grid, midline: Midline): boolean {
  const parted = pieces.some((piece) => piece.isHalf);
  if (midline.basis !== "field_of_view" || pieces.length === 0 || parted) return false;
  const largest = pieces.reduce((most, piece) => (piece.own.size > most.own.size ? piece : most));
  const offset = largest.own.centre[2] - midline.track.middleX[0];
  return Math.abs(offset) * grid.spacingMm[2] < NO_SIDE_WITHIN_MM;
}

function groupsOf(pieces: readonly Piece[], grid: Grid): Piece[][] {
  const groups: Piece[][] = [];
  const ordered = [...pieces].sort((one, other) => other.own.size - one.own.size);
  for (const piece of ordered) {
    const gaps = groups.map((group) =>
      gapMm(
        piece.own,
        group.map((other) => other.own),
        grid,
      ),
    );
    const nearest = Math.min(Number.POSITIVE_INFINITY, ...gaps);
    const ownMl = piece.own.size * voxelMlOf(grid);
    const isFurther = ownMl >= FURTHER_KIDNEY_ML && nearest >= FURTHER_KIDNEY_GAP_MM;
    if (groups.length === 0 || isFurther) groups.push([piece]);
    else groups[gaps.indexOf(nearest)].push(piece);
  }
  return groups;
}
