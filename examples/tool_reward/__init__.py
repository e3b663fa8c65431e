"""Does a reward for tool calls keep a model that hardly ever answers right from giving up its tool?"""
