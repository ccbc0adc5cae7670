"""From answers to images that training did not see: honest confidences, and what is believed."""
