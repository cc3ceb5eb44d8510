"""Data sets: their cases, patient-level splits, and the prepared store that training reads."""
