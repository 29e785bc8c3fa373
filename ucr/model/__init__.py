"""The networks, the diffusion, the decomposition model, the prior and what is recomposed with them."""
