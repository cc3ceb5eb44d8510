/** The labels of KiTS19, as in src/renalmap/labels.py. */
export const BACKGROUND = 0;
export const KIDNEY = 1;
export const TUMOUR = 2;
