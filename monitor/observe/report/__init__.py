"""The report on a run over captures: one page that explains itself, for whoever was not there."""
