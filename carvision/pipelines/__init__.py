"""The steps: a module for each small one, a folder for each that needs several."""
