"""From trained weights to a bundle: exported, quantised, judged, calibrated."""
