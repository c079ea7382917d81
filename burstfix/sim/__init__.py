"""Raw bursts with known ground truth, from photographs and clips."""
