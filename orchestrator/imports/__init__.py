"""Collaborations of others, in the layout of the Fast Gemma Challenge, made sessions of ours."""
