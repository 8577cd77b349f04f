"""One file of levers for each engine; `bench.config` puts them together."""
