"""The page: what a visitor sees and does. Imports the core, holds no maths and no model code."""
