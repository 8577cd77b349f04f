"""How a record looks: tables, trees, pictures, sentences. Values in, text out; reads no file."""
