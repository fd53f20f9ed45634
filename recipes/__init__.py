"""How files that the product carries are made; nothing here is installed with it."""
