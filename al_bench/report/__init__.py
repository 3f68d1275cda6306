"""One page that says what runs have shown: `build.report`."""
