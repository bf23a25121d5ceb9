"""The bench: speed targets as ratios measured in one sitting, and what each part costs in CPU."""
