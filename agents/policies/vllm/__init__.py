"""How riders look for speed where vLLM serves: options of the engine, and patches on paper."""
