"""What a browser of items needs: an index, filters with a readable address, counts, one item whole, slices, exports."""
