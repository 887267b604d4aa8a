"""From ratings to labels: majority, soft labels, Dawid-Skene and its kin, how far annotators go with the consensus."""
