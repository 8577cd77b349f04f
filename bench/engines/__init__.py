"""The engines: each serves one model under one config. They never see scores or private text."""
