"""Stands in for the package of this name, which an example asks for and the tests cannot reach."""
module DataFrames
import Words
export DataFrame, nrow
struct DataFrame
    columns
    DataFrame(; columns...) = new(values(columns))
end
nrow(frame::DataFrame) = length(first(frame.columns))
end
