"""How riders look for speed where llama.cpp serves: weights, kept vocabularies, threads."""
