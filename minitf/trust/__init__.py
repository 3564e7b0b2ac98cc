"""What shows that the core is right: checkers, slow independent twins, cross-checks."""
