"""Agreement on spans of text: pairwise F1, and unitizing alpha, which is corrected for chance."""
